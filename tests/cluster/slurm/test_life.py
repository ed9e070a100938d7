"""The life of a cluster: waiting in the queue, kept or ended with its notebook, private to its user."""

import json
import re
import time

import pytest
from notebook_process import Notebook

pytestmark = pytest.mark.timeout(500)
USER, OTHER = "labkit-a", "labkit-b"


def jobs(slurm, user=None):
    return slurm.as_root("ctl", "squeue", "-h", "-o", "%i", *(["-u", user] if user else [])).stdout.split()


def processes(slurm, user):
    """What a user runs on any host, zombies apart."""
    found = []
    for host in slurm.hosts:
        found += slurm.as_root(host, "ps", "-u", user, "-o", "stat=,args=").stdout.splitlines()
    return [line for line in found if not line.startswith("Z")]


def nothing_is_left(slurm, user=USER, within=60):
    slurm.wait_until(lambda: not jobs(slurm, user), within, "no job is left")
    slurm.wait_until(lambda: not processes(slurm, user), within, "no process is left")
    folders = "find ~/.labkit/clusters ~/.local/state/labkit/clusters -mindepth 1 2>/dev/null; true"
    assert slurm.as_user(user, "ctl", "sh", "-c", folders).stdout == ""


@pytest.fixture
def open_notebook(slurm):
    slurm.clear()
    notebooks = []

    def open_notebook(user=USER):
        notebooks.append(Notebook(slurm, user))
        return notebooks[-1]

    yield open_notebook
    for notebook in notebooks:
        if notebook.process.poll() is None:
            notebook.end()


def test_a_wait_in_the_queue_is_told_and_can_be_interrupted(slurm, open_notebook):
    blocking = slurm.submit(OTHER, "-N2", "--exclusive", "--wrap", "sleep 600")
    slurm.wait_state(blocking, "RUNNING")
    notebook = open_notebook()
    notebook.send("%cluster start slurm -n 4 --nodes 2")
    notebook.wait_for_text("place 1 of 1 in debug", 60)
    assert len(jobs(slurm, USER)) == 1
    notebook.interrupt()
    given = notebook.wait(30)
    assert given.error == "KeyboardInterrupt"
    slurm.wait_until(lambda: not jobs(slurm, USER), 30, "the job is cancelled")
    given = notebook.run("%%mpi -n 2\nprint('here', comm.size)")
    assert given.text.count("here 2") == 2  # this machine, as before
    notebook.end()
    nothing_is_left(slurm)


def test_closing_the_notebook_ends_the_job(slurm, open_notebook):
    notebook = open_notebook()
    assert not notebook.run("%cluster start slurm -n 2", 120).error
    notebook.end()
    nothing_is_left(slurm)


def test_a_killed_kernel_leaves_no_job(slurm, open_notebook):
    notebook = open_notebook()
    assert not notebook.run("%cluster start slurm -n 2", 120).error
    notebook.send("%%mpi\nimport time\nprint('begun', flush=True)\ntime.sleep(600)")
    notebook.wait_for_text("begun")
    notebook.kill()
    nothing_is_left(slurm)


def test_a_kernel_killed_while_its_job_waits_leaves_no_job(slurm, open_notebook):
    blocking = slurm.submit(OTHER, "-N2", "--exclusive", "--wrap", "sleep 600")
    slurm.wait_state(blocking, "RUNNING")
    notebook = open_notebook()
    notebook.send("%cluster start slurm -n 4 --nodes 2")
    notebook.wait_for_text("place 1 of 1")
    notebook.kill()
    nothing_is_left(slurm)


def test_a_machine_that_is_gone_leaves_no_job(slurm, open_notebook):
    """Kernel and controller at once: the job finds out itself."""
    notebook = open_notebook()
    assert not notebook.run("%cluster start slurm -n 2", 120).error
    slurm.as_user(USER, "ctl", "sh", "-c", "kill -KILL -1", cwd="/")  # all that this user runs on this host
    slurm.wait_until(lambda: not jobs(slurm, USER), 150, "no job is left")
    slurm.wait_until(lambda: not processes(slurm, USER), 60, "no process is left")
    slurm.as_user(USER, "ctl", "sh", "-c", "rm -rf ~/.labkit ~/.local/state/labkit")


def test_a_kept_cluster_is_found_again_with_its_variables(slurm, open_notebook):
    first = open_notebook()
    given = first.run("%cluster start slurm -n 2 --keep --name mine", 120)
    assert not given.error, given.text
    assert not first.run("%%mpi\nkept = 10 + comm.rank").error
    second = open_notebook()
    given = second.run("%cluster connect mine")
    assert given.error == "EnginesError" and "used by another notebook" in given.message
    first.send("%%mpi\nimport time\nprint('begun', flush=True)\ntime.sleep(600)")
    first.wait_for_text("begun")
    first.kill()
    slurm.wait_until(lambda: first.process.poll() is not None, 30)
    assert "mine: slurm, 2 ranks" in second.run("%cluster list").text
    given = second.run("%cluster connect mine", 60)
    assert not given.error, given.text
    given = second.run("%%mpi\nprint('kept', kept)")
    assert sorted(re.findall(r"kept (\d+)", given.text)) == ["10", "11"], given.text
    second.end()
    assert len(jobs(slurm, USER)) == 1
    done = slurm.as_user(USER, "ctl", "labkit", "cluster", "stop", "mine")
    assert done.returncode == 0 and "stopped" in done.stdout
    nothing_is_left(slurm)


def test_a_shell_starts_a_cluster_and_a_notebook_uses_it(slurm, open_notebook):
    done = slurm.as_user(USER, "ctl", "labkit", "cluster", "start", "slurm", "-n", "2", "--name", "fromshell", timeout=120)
    assert done.returncode == 0 and "%cluster connect fromshell" in done.stdout, done.stderr
    notebook = open_notebook()
    assert not notebook.run("%cluster connect fromshell").error
    assert notebook.run("%%mpi\nprint('sum', comm.allreduce(1))").text.count("sum 2") == 2
    given = notebook.run("%cluster stop")
    assert not given.error, given.text
    notebook.end()
    nothing_is_left(slurm)


def test_a_kept_cluster_ends_when_its_job_does(slurm):
    done = slurm.as_user(USER, "ctl", "labkit", "cluster", "start", "slurm", "-n", "2", timeout=120)
    assert done.returncode == 0, done.stderr
    slurm.as_root("ctl", "scancel", *jobs(slurm, USER))
    nothing_is_left(slurm, within=100)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--partition nosuch", "partition"),
        ("--partition staff", "not permitted to use this partition"),
        ("--directive=--nosuch=1", "sbatch"),
        ("-n 4 --nodes 2 --memory 900G", "memory|node configuration"),
        ("--python /no/python", "/no/python"),
        ("--folder /root/none", "--folder"),
    ],
)
def test_what_is_refused_is_said_and_leaves_nothing(slurm, open_notebook, options, words):
    notebook = open_notebook()
    given = notebook.run(f"%cluster start slurm {options}", 120)
    assert given.error in ("EnginesError", "UsageError"), given.text
    assert re.search(words, given.message), given.message
    notebook.end()
    nothing_is_left(slurm)


def test_two_users_do_not_reach_each_other(slurm, open_notebook):
    mine, theirs = open_notebook(USER), open_notebook(OTHER)
    assert not mine.run("%cluster start slurm -n 2", 120).error
    assert not theirs.run("%cluster start slurm -n 2", 120).error
    for notebook, user in ((mine, USER), (theirs, OTHER)):
        given = notebook.run("%%mpi\nimport getpass\nprint('user', getpass.getuser(), comm.allreduce(1))")
        assert given.text.count(f"user {user} 2") == 2, given.text
        assert notebook.run("%cluster list").text.count("slurm") == 2  # its name and its kind: one cluster

    home = slurm.home(USER)
    found = slurm.as_user(USER, "ctl", "sh", "-c", "find ~/.labkit ~/.local/state/labkit -printf '%m %y %p\\n'").stdout
    assert "-engine.json" in found and "-client.json" in found
    for mode, kind, path in (line.split(" ", 2) for line in found.splitlines()):
        if path.endswith(("-engine.json", "-client.json")) or kind == "d" and path.endswith(("/security", "/state/labkit/clusters")):
            assert int(mode, 8) & 0o077 == 0, (mode, path)
    denied = slurm.as_user(OTHER, "ctl", "sh", "-c", f"cat {home}/.labkit/clusters/*/security/*.json")
    assert denied.returncode != 0 and "ermission denied" in denied.stderr

    # With the right ports and a wrong key: nothing is executed, and the cluster works on.
    folder = slurm.as_user(USER, "ctl", "sh", "-c", "echo ~/.labkit/clusters/*/security").stdout.strip()
    client = json.loads(slurm.as_user(USER, "ctl", "sh", "-c", f"cat {folder}/*-client.json").stdout)
    forged = json.dumps(client | {"key": "0" * 32})
    attack = (
        "import ipyparallel, json, os, sys, pathlib\n"
        "path = pathlib.Path.home() / 'forged.json'; path.write_text(sys.argv[1])\n"
        "try:\n"
        "    client = ipyparallel.Client(str(path), timeout=5)\n"
        "    print('RAN', client[:].apply_async(os.getuid).get(timeout=5))\n"
        "except Exception as error:\n"
        "    print('refused', type(error).__name__)\n"
    )
    tried = slurm.as_user(OTHER, "ctl", "python", "-c", attack, forged, timeout=60)
    assert "refused" in tried.stdout and "RAN" not in tried.stdout, tried.stdout + tried.stderr
    assert mine.run("%%mpi\nprint('sum', comm.allreduce(1))").text.count("sum 2") == 2

    # Clients come over loopback, engines over the cluster's network; nothing listens anywhere else.
    listening = slurm.as_root("ctl", "ss", "-Hltnp").stdout
    ours = [line.split()[3].rsplit(":", 1)[0] for line in listening.splitlines() if "python" in line]
    assert ours and set(ours) <= {"127.0.0.1", "10.97.31.1"}, listening
    began = time.monotonic()
    mine.end()
    theirs.end()
    assert time.monotonic() - began < 60
    nothing_is_left(slurm, USER)
    nothing_is_left(slurm, OTHER)
