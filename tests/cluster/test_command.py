"""``labkit cluster`` as a shell sees it: words in, text and exit status out, and what is left afterwards."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_cluster import FakeCluster, tagged, until  # noqa: E402


@pytest.fixture
def cluster(tmp_path):
    cluster = FakeCluster(tmp_path, "pbs")
    (tmp_path / "work").mkdir()
    yield cluster
    cluster.end()
    until(lambda: not tagged("FAKE_TEST", tmp_path))  # controllers, jobs, all that the commands have started


def popen(cluster, *words, **how):
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | how
    return subprocess.Popen(
        [sys.executable, "-m", "labkit", "cluster", *words], env=os.environ | cluster.environment, stdin=subprocess.DEVNULL,
        cwd=cluster.folder.parent / "work", start_new_session=True, **how,
    )


def labkit(cluster, *words):
    """(exit status, standard output, standard error) of one command."""
    process = popen(cluster, *words)
    try:
        out, err = process.communicate(timeout=90)
    finally:
        process.kill()
    assert "Traceback" not in err, err
    return process.returncode, out, err


def test_help_of_every_verb(cluster):
    status, usage, _ = labkit(cluster, "--help")
    assert status == 0
    verbs = ("start", "status", "list", "logs", "stop", "doctor", "script", "profiles")
    for verb in verbs:
        assert f"\n  {verb} " in usage
    for verb in verbs:
        status, out, err = labkit(cluster, verb, "--help")
        assert (status, err) == (0, "") and out.startswith(f"usage: labkit cluster {verb}"), verb
    assert labkit(cluster)[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["begin"], "there is no verb 'begin'; there are start"),
        (["start", "slurm", "--nods", "2"], "--nods"),
        (["start", "ours"], "neither a kind of cluster .* nor a profile"),
        (["start", "local"], "ends with the process that started it"),
        (["start", "slurm", "-n", "2", "--nodes", "4"], "every node needs at least one rank"),
        (["stop"], "name one cluster. There is none"),
        (["stop", "nobody"], "There is no cluster 'nobody'"),
        (["logs", "../../etc/passwd"], "is no name of a cluster"),
        (["list", "slurm"], "list takes no words"),
        (["profiles", "--exampl"], "profiles .--example.: not --exampl"),
        (["script"], "required: FILE.py"),
        (["script", "missing.py", "slurm"], "There is no file .*/work/missing.py"),
        (["script", "x.py", "ssh", "--hosts", "a"], "a job script is for a batch system, and this is ssh"),
        (["script", "x.py"], "this is no kind"),
        (["script", "x.py", "slurm", "--keep"], "--keep is for clusters of notebooks"),
    ],
)
def test_mistakes_end_with_status_2_and_one_sentence(cluster, words, message):
    status, out, err = labkit(cluster, *words)
    assert (status, out) == (2, "") and re.search(message, err), err
    assert "%cluster start" not in err and not cluster.jobs


def test_what_fails_ends_with_status_1(cluster):
    (cluster.folder / "refuse").write_text("qsub: Unknown queue special")
    status, out, err = labkit(cluster, "start", "pbs", "-n", "1", "--partition", "special")
    assert (status, out) == (1, "") and "there is no such queue" in err
    assert "No clusters" in labkit(cluster, "list")[1]
    status, _, err = labkit(cluster, "start", "lsf", "-n", "1")
    assert status == 1 and "There is no command bsub on this machine" in err


def test_light_verbs_import_nothing_heavy(cluster):
    code = (
        "import sys; from labkit import cli; cli.main(['cluster', 'list']); cli.main(['cluster', '--help'])\n"
        "cli.main(['cluster', 'profiles'])\n"
        "heavy = {'numpy', 'torch', 'ipyparallel', 'zmq', 'mpi4py', 'plotly', 'IPython', 'ipywidgets', 'traitlets', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | cluster.environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_script_of_a_program(cluster):
    work = cluster.folder.parent / "work"
    (work / "pi.py").write_text("print(1)\n")
    (work / "labkit-clusters.toml").write_text('[profiles.ours]\nkind = "lsf"\nnum_ranks = 6\npartition = "short"\n')
    status, out, err = labkit(cluster, "script", "pi.py", "slurm", "-n", "3", "--time", "5", "--", "--steps", "a b", "--", "-n")
    assert (status, err) == (0, "") and "#SBATCH --ntasks=3" in out and "#SBATCH --time=00:05:00" in out
    assert f"{work}/pi.py --steps 'a b' -- -n\n" in out
    assert subprocess.run(["bash", "-n"], input=out, text=True, timeout=20).returncode == 0
    status, out, _ = labkit(cluster, "script", "pi.py", "ours", "-n", "2")
    assert status == 0 and "#BSUB -n 2\n" in out and "#BSUB -q short\n" in out
    assert labkit(cluster, "script", "pi.py", "--profile", "ours")[1].count("#BSUB -n 6\n") == 1
    assert not cluster.jobs


def test_profiles_and_the_example(cluster):
    status, out, _ = labkit(cluster, "profiles")
    assert status == 0 and "No profiles" in out
    status, example, _ = labkit(cluster, "profiles", "--example")
    config = cluster.home / "config" / "labkit"
    config.mkdir(parents=True)
    (config / "clusters.toml").write_text(example)
    work = cluster.folder.parent / "work"
    (work / "labkit-clusters.toml").write_text('[profiles.ours]\nkind = "pbs"\nnum_nodes = 2\nranks_per_node = 3\n')
    status, out, err = labkit(cluster, "profiles")
    assert (status, err) == (0, "")
    rows = {line.split()[0]: line.split() for line in out.splitlines()}
    assert rows["ours"] == ["ours", "pbs", "6", str(work / "labkit-clusters.toml")]
    assert set(re.findall(r"^\[profiles\.(\S+)\]", example, re.M)) <= set(rows)


@pytest.mark.mpi
def test_ctrl_c_in_the_queue_cancels_the_job(cluster):
    (cluster.folder / "hold").touch()
    process = popen(cluster, "start", "pbs", "-n", "2")
    try:
        said = ""
        while "is queued" not in said:
            said += (line := process.stderr.readline())
            assert line, said
        (job,) = cluster.jobs
        assert re.search(r"job 1\.fake-server is queued; It waits until enough of what it asks for is free", said)
        assert "pbs: pbs, 2 ranks, job 1.fake-server, queued" in labkit(cluster, "list")[1]
        until(lambda: (job / "asked").read_text().count("?") > 12)  # some seconds in the queue
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "Traceback" not in err, err
    until(lambda: cluster.has_ended(job))
    assert (job / "cancelled").exists() and not (job / "pid").exists()
    assert "No clusters" in labkit(cluster, "list")[1]
    assert (said + err).count("is queued") == 1  # seconds alone are no news


@pytest.mark.mpi
def test_a_cluster_outlives_its_command_until_it_is_stopped(cluster):
    status, out, err = labkit(cluster, "start", "pbs", "-n", "2", "--name", "mine")
    assert status == 0 and "%cluster connect mine" in out, err
    assert "is queued" in err and "2 MPI ranks started" in err.splitlines()[-1] and "\r" not in err
    time.sleep(2)  # the controller looks every second whether its owner, if it has one, is there
    (job,) = cluster.jobs
    assert not cluster.has_ended(job)
    assert "mine: pbs, 2 ranks on" in labkit(cluster, "status", "mine")[1]
    assert re.search(r"mine: .* running, kept on", labkit(cluster, "list")[1])
    assert "== world-1.log" in labkit(cluster, "logs", "mine")[1]
    status, _, err = labkit(cluster, "start", "pbs", "-n", "1", "--name", "mine")
    assert status == 2 and "There is a cluster 'mine' already" in err
    connect = (
        "from labkit.cluster import manage\nfrom labkit.cluster.cell import run_cell\nfrom labkit.cluster.outcome import Listener\n"
        "engines = manage.connect('mine', lambda text: None)\n"
        "outcome = run_cell(engines, 'comm.allreduce(comm.rank + 1)', listener=Listener())\n"
        "print([r['data']['text/plain'] for _, r in sorted(outcome.results.items())])\nengines.leave()"
    )
    done = subprocess.run([sys.executable, "-c", connect], env=os.environ | cluster.environment, capture_output=True, text=True, timeout=90)
    assert done.stdout == "['3', '3']\n", done.stderr
    status, out, _ = labkit(cluster, "stop")
    assert status == 0 and out == "Cluster 'mine' has been stopped. Job 1.fake-server is cancelled.\n"
    until(lambda: cluster.has_ended(job) and not cluster.left())
    assert list((cluster.home / ".labkit" / "clusters").iterdir()) == []
    assert "No clusters" in labkit(cluster, "list")[1]


@pytest.mark.mpi
def test_a_terminal_has_one_line_that_is_replaced(cluster):
    (cluster.folder / "refuse").write_text("qsub: Unknown queue special")
    here, there = pty.openpty()
    process = popen(cluster, "start", "pbs", "-n", "1", stderr=there)
    os.close(there)
    said = b""
    try:
        while True:
            try:
                part = os.read(here, 4096)
            except OSError:  # how the end of a terminal is told
                break
            if not part:
                break
            said += part
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.stdout.close()
        os.close(here)
    assert said.count(b"\r\x1b[K") >= 2
    assert b"\x1b[KStarting" in said and said.rstrip().splitlines()[-1].startswith(b"labkit cluster: PBS refused")


@pytest.mark.mpi
def test_two_commands_at_the_same_time_get_two_names(cluster):
    processes = [popen(cluster, "start", "pbs", "-n", "1") for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    listed = labkit(cluster, "list")[1]
    assert sorted(re.findall(r"^(\S+): pbs", listed, re.M)) == ["pbs", "pbs-2"], listed
    assert len(cluster.jobs) == 2
    assert labkit(cluster, "stop", "pbs")[0] == 0
    assert re.findall(r"^(\S+): .*running", labkit(cluster, "list")[1], re.M) == ["pbs-2"]
    assert labkit(cluster, "stop", "pbs-2")[0] == 0
    assert not [pid for pid in tagged("FAKE_TEST", cluster.folder.parent) if "ipcontroller" in psutil.Process(pid).cmdline()]
