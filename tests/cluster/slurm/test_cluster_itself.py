"""The test cluster is what the tests on it take it for: hosts, users, queues and accidents like those of a site."""

import os
import pwd
import signal
from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster

A, B = SlurmCluster.users
WORLD = """
from mpi4py import MPI
comm = MPI.COMM_WORLD
print(comm.size, comm.allreduce(comm.rank), MPI.Get_processor_name(), flush=True)
"""


def words(done):
    assert done.returncode == 0, done
    return done.stdout.split()


def reaches(slurm, source, target):
    """Whether a host can open a connection to the daemon of another."""
    port = 6817 if target == "ctl" else 6818
    done = slurm.as_user(A, source, "timeout", "2", "bash", "-c", f": </dev/tcp/{target}/{port}")
    return done.returncode == 0


# --- hosts ------------------------------------------------------------------------------------------------------


def test_two_idle_nodes_with_their_own_names(slurm):
    assert slurm.node_states() == {"n1": "idle", "n2": "idle"}
    assert sorted(words(slurm.as_user(A, "ctl", "srun", "-N2", "-n2", "hostname"))) == ["n1", "n2"]
    assert [words(slurm.as_user(A, host, "hostname")) for host in slurm.hosts] == [["ctl"], ["n1"], ["n2"]]


def test_a_process_is_seen_on_its_host_only(slurm):
    source = (
        "from pathlib import Path\n"
        "seen = [path.read_bytes() for path in Path('/proc').glob('[0-9]*/cmdline')]\n"
        "print(seen.count(b'sleep\\0004817\\000'))\n"
    )

    def seen(host):
        return words(slurm.as_user(A, host, "python", "-c", source))

    sleeper = slurm.popen(A, "n1", "sleep", "4817")
    slurm.wait_until(lambda: seen("n1") == ["1"], 10)
    assert seen("n2") == seen("ctl") == ["0"]
    sleeper.end()
    slurm.wait_until(lambda: seen("n1") == ["0"], 10)


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_temporary_folders_are_private_to_a_host(slurm, folder):
    mine = Path(folder, f"mine-of-{os.getpid()}")
    slurm.as_user(A, "n1", "touch", mine, check=True)
    assert words(slurm.as_user(A, "n1", "ls", mine)) == [str(mine)]
    for host in ("ctl", "n2"):
        assert "No such file" in slurm.as_user(A, host, "ls", mine).stderr
    assert not mine.exists()
    slurm.as_user(A, "n1", "rm", mine, check=True)


def test_scratch_is_shared_by_hosts_and_users(slurm):
    slurm.as_user(A, "n1", "sh", "-c", f"echo hello > {slurm.scratch}/note", check=True)
    assert words(slurm.as_user(B, "n2", "cat", slurm.scratch / "note")) == ["hello"]
    assert (slurm.scratch / "note").read_text() == "hello\n"


def test_hosts_booted_at_different_times(slurm):
    ask = ("python", "-c", "import time; print(time.monotonic(), time.time())")
    clocks = {host: [float(word) for word in words(slurm.as_user(A, host, *ask))] for host in slurm.hosts}
    if os.path.exists("/proc/self/ns/time"):
        assert 900 < clocks["n2"][0] - clocks["n1"][0] < 1100
        assert 900 < clocks["n1"][0] - clocks["ctl"][0] < 1100
    assert max(wall for _, wall in clocks.values()) - min(wall for _, wall in clocks.values()) < 90


# --- users ------------------------------------------------------------------------------------------------------


def test_users_exist_on_the_hosts_and_not_here(slurm):
    for user in (A, B):
        with pytest.raises(KeyError):
            pwd.getpwnam(user)
        done = slurm.as_user(user, "n1", "sh", "-c", "id -un; id -Gn; echo $HOME; pwd")
        assert words(done) == [user, user, str(slurm.home(user)), str(slurm.home(user))]


def test_a_private_folder_stays_private(slurm):
    slurm.as_user(A, "ctl", "sh", "-c", f"mkdir -m 0700 {slurm.scratch}/of-a; echo 42 > {slurm.scratch}/of-a/key")
    assert words(slurm.as_user(A, "n2", "cat", slurm.scratch / "of-a" / "key")) == ["42"]
    for path in (slurm.scratch / "of-a" / "key", slurm.home(A) / ".bashrc", "/root"):
        refused = slurm.as_user(B, "n2", "ls", path)
        assert refused.returncode != 0
        assert "Permission denied" in refused.stderr


def test_the_environment_is_complete_for_users(slurm):
    source = (
        "import sys, labkit, torch, numba, pathlib\n"
        "print(labkit.__file__, sys.executable)\n"
        "file = pathlib.Path.home() / 'law.py'\n"
        "file.write_text('import numba\\n@numba.njit(cache=True)\\ndef double(x): return 2 * x\\n')\n"
        "sys.path.insert(0, str(file.parent))\n"
        "import law\n"
        "print(law.double(21), len(list(file.parent.rglob('law.double*.nbi'))))\n"
    )
    package, python, value, cached = words(slurm.as_user(B, "n1", "python", "-c", source, timeout=100))
    assert Path(package).is_relative_to(slurm.folder)
    here = Path(__file__).parents[3] / "labkit" / "__init__.py"
    assert Path(package).read_bytes() == here.read_bytes()
    assert python == str(slurm.python)
    assert (value, cached) == ("42", "1")
    assert slurm.as_user(B, "n1", "touch", package).returncode != 0


# --- MPI --------------------------------------------------------------------------------------------------------


def test_pmi2_makes_one_world_over_two_hosts(slurm):
    done = slurm.as_user(A, "ctl", "srun", "--mpi=pmi2", "-N2", "-n4", "--ntasks-per-node=2", "python", "-c", WORLD)
    assert sorted(done.stdout.splitlines()) == ["4 6 n1"] * 2 + ["4 6 n2"] * 2


@pytest.mark.parametrize("option", ["--mpi=none", None])
def test_without_it_each_rank_is_a_world_and_nothing_says_so(slurm, option):
    options = [option] if option else []
    done = slurm.as_user(A, "ctl", "srun", *options, "-N2", "-n4", "--ntasks-per-node=2", "python", "-c", WORLD)
    assert sorted(done.stdout.splitlines()) == ["1 0 n1"] * 2 + ["1 0 n2"] * 2
    assert done.returncode == 0 and done.stderr == ""


def test_pmix_reaches_the_ranks(slurm):
    done = slurm.as_user(A, "ctl", "srun", "--mpi=pmix", "-N2", "-n2", "sh", "-c", "echo $PMIX_RANK $PMI_RANK")
    assert sorted(words(done)) == ["0", "1"]


def test_mpiexec_runs_on_one_host(slurm):
    done = slurm.as_user(A, "n1", "mpiexec", "-n", "3", "python", "-c", WORLD)
    assert done.stdout.splitlines() == ["3 3 n1"] * 3


# --- jobs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, reason",
    [
        (["--partition=staff"], "User's group not permitted to use this partition"),
        (["--partition=nowhere"], "Invalid partition name specified"),
        (["--mem=900G"], "Memory specification can not be satisfied"),
        (["--gres=gpu:1"], "Invalid generic resource (gres) specification"),
        (["--nodes=3"], None),
    ],
)
def test_what_a_user_may_not_have_is_refused(slurm, options, reason):
    done = slurm.as_user(A, "ctl", "sbatch", *options, "--wrap", "true")
    if reason is None:  # as Slurm does unless a site sets EnforcePartLimits
        assert done.returncode == 0
        job = done.stdout.split()[-1]
        slurm.as_user(A, "ctl", "scancel", job, check=True)
    else:
        assert done.returncode != 0
        assert reason in done.stderr


def test_a_job_over_its_time_limit_is_ended(slurm):
    job = slurm.submit(A, "--time=1", "--wrap", "sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.expire(job)
    slurm.wait_state(job, "TIMEOUT", timeout=60)
    text = slurm.home(A) / f"slurm-{job}.out"
    slurm.wait_until(lambda: "DUE TO TIME LIMIT" in text.read_text(), 10)


def test_scancel_ends_the_processes_of_a_job(slurm):
    job = slurm.submit(A, "--nodelist=n2", "--wrap", f"echo $$ > {slurm.scratch}/pid; exec sleep 600")
    pid = slurm.scratch / "pid"
    slurm.wait_until(lambda: pid.exists() and pid.read_text(), 20)
    number = pid.read_text().strip()
    assert slurm.as_user(A, "n2", "kill", "-0", number).returncode == 0
    assert slurm.as_user(B, "ctl", "scancel", job).returncode != 0  # another user's
    slurm.as_user(A, "ctl", "scancel", job, check=True)
    slurm.wait_state(job, "CANCELLED")
    slurm.wait_until(lambda: slurm.as_user(A, "n2", "kill", "-0", number).returncode != 0, 20)


@pytest.mark.parametrize("partition, fate", [("low", "PENDING"), ("lowest", "PREEMPTED")])
def test_a_job_gives_way(slurm, partition, fate):
    job = slurm.submit(A, f"--partition={partition}", "-N2", "--exclusive", "--requeue", "--wrap", "sleep 600")
    slurm.wait_state(job, "RUNNING")
    pusher = slurm.submit(B, "--partition=high", "-N2", "--exclusive", "--wrap", "sleep 600")
    slurm.wait_state(pusher, "RUNNING")
    assert slurm.wait_state(job, fate) == fate
    slurm.as_user(B, "ctl", "scancel", pusher, check=True)
    slurm.as_user(A, "ctl", "scancel", job)
    slurm.wait_until(lambda: set(slurm.node_states().values()) == {"idle"}, 30)


# --- accidents --------------------------------------------------------------------------------------------------


def test_a_node_crashes_and_comes_back(slurm):
    job = slurm.submit(A, "--nodelist=n2", "--no-requeue", "--wrap", "sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.crash("n2")
    with pytest.raises(AssertionError, match="n2 is down"):
        slurm.as_user(A, "n2", "true", check=True)
    slurm.wait_state(job, "NODE_FAIL", timeout=60)
    assert slurm.node_states()["n1"] == "idle"
    slurm.boot("n2")
    slurm.heal()
    slurm.wait_until(lambda: slurm.node_states()["n2"] == "idle", 60)
    assert words(slurm.as_user(A, "ctl", "srun", "--nodelist=n2", "hostname")) == ["n2"]


def test_a_cable_is_cut_and_mended(slurm):
    keeper = slurm.popen(A, "n2", "sleep", "600")
    assert reaches(slurm, "ctl", "n2") and reaches(slurm, "n2", "n1")
    slurm.cut("n2")
    assert not reaches(slurm, "ctl", "n2") and not reaches(slurm, "n2", "n1")
    assert reaches(slurm, "ctl", "n1")
    assert keeper.poll() is None  # the host itself goes on
    slurm.mend("n2")
    slurm.wait_until(lambda: reaches(slurm, "ctl", "n2") and reaches(slurm, "n2", "n1"), 20)
    keeper.end()


def test_the_controller_is_cut_off_and_its_queue_survives(slurm):
    job = slurm.submit(A, "--nodelist=n1", "--wrap", "sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.cut("ctl")
    assert not reaches(slurm, "n1", "ctl") and reaches(slurm, "n1", "n2")
    slurm.mend("ctl")
    slurm.wait_until(lambda: reaches(slurm, "n1", "ctl"), 20)
    assert slurm.state(job) == "RUNNING"
    slurm.save(job)  # what it has not written yet, a crash takes away
    slurm.crash("ctl")
    slurm.boot("ctl")
    slurm.wait_until(lambda: slurm.state(job) == "RUNNING", 30)
    slurm.as_user(A, "ctl", "scancel", job, check=True)


# --- the fixture ------------------------------------------------------------------------------------------------


def test_a_command_over_its_time_is_killed_on_the_host(slurm):
    with pytest.raises(TimeoutError, match="said this"):
        slurm.as_user(A, "n1", "sh", "-c", f"echo said this; echo $$ > {slurm.scratch}/late; sleep 600", timeout=2)
    number = (slurm.scratch / "late").read_text().strip()
    slurm.wait_until(lambda: slurm.as_user(A, "n1", "kill", "-0", number).returncode != 0, 10)


def test_daemons_do_not_delay_and_are_cleared(slurm):
    is_apart = "cut -d' ' -f6 /proc/$daemon/stat"  # its session is its own, so the shell's end is none of its business
    leave = f"setsid sleep 600 & daemon=$!; until [ $({is_apart}) = $daemon ]; do sleep 0.02; done; " \
        f"echo $daemon > {slurm.scratch}/daemon; echo left"
    assert words(slurm.as_user(A, "n1", "sh", "-c", leave, timeout=20)) == ["left"]
    number = (slurm.scratch / "daemon").read_text().strip()
    assert slurm.as_user(A, "n1", "kill", "-0", number).returncode == 0
    slurm.clear()
    slurm.wait_until(lambda: slurm.as_user(A, "n1", "kill", "-0", number).returncode != 0, 10)


def test_signals_reach_the_command(slurm):
    source = (
        "import time\n"
        "try:\n    print('ready', flush=True)\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('stopped')\n"
    )
    process = slurm.popen(A, "n1", "python", "-c", source)
    assert process.stdout.readline() == "ready\n"
    process.signal(signal.SIGINT)
    assert process.communicate(timeout=20)[0] == "stopped\n"
    assert process.returncode == 0
