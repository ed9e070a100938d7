"""Two clusters on one machine leave each other alone, and one that ends leaves nothing."""

import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from slurm_cluster import SlurmCluster

A = SlurmCluster.users[0]


def living():
    """All processes here by number and start, with their network namespace; a namespace's own number is used again."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            started = (entry / "stat").read_text().rpartition(")")[2].split()[19]
            found[entry.name, started] = os.readlink(entry / "ns" / "net")  # a zombie has none
    return found


def inhabitants(cluster):
    """The processes in the networks of a cluster's hosts."""
    here = living()
    first = set(first_processes(cluster).values())
    networks = {network for (pid, _), network in here.items() if pid in first}
    assert len(networks) == len(first) and os.readlink("/proc/self/ns/net") not in networks
    return {process for process, network in here.items() if network in networks}


@pytest.fixture
def second(slurm):
    """Another cluster of one node beside the session's, with a process that holds its lock."""
    with tempfile.TemporaryDirectory(prefix="second-", dir=slurm.folder) as folder:
        os.chmod(folder, 0o755)
        lock = Path(folder, "lock")
        holder = subprocess.Popen(["flock", lock, "sleep", "600"], start_new_session=True)
        cluster = SlurmCluster(folder, slurm.python, lock, num_nodes=1)
        cluster.holder = holder
        slurm.wait_until(lambda: lock.exists() and subprocess.run(["flock", "-n", lock, "true"]).returncode, 10)
        try:
            cluster.verb("up", "1")
            yield cluster
        finally:
            for process in cluster.processes:
                process.end()
            cluster.verb("down")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(holder.pid, signal.SIGKILL)
            holder.wait()


def first_processes(cluster):
    """The processes 1 of a cluster's hosts."""
    return {line.split()[0]: line.split()[-1] for line in cluster.verb("status").splitlines() if " up, " in line}


def test_down_leaves_nothing_and_touches_nobody_else(slurm, second):
    others = first_processes(slurm)
    second.popen(A, "n1", "setsid", "sleep", "600")
    second.wait_state(second.submit(A, "--wrap", "sleep 600"), "RUNNING")
    theirs = inhabitants(second)
    assert len(theirs) > 8  # process 1, munged, daemon of two hosts, the job and the sleeper
    assert theirs <= living().keys()
    second.verb("down")
    assert not theirs & living().keys()  # no process and no mount: no namespace either
    assert str(second.folder) not in Path("/proc/self/mountinfo").read_text()
    assert sorted(os.listdir(second.folder)) == ["home", "lock", "scratch"]
    assert first_processes(slurm) == others
    assert slurm.node_states() == {"n1": "idle", "n2": "idle"}


def test_up_ends_the_cluster_that_was_there(slurm, second):
    old = inhabitants(second)
    second.verb("crash", "n1")
    second.verb("up", "1")
    assert not old & living().keys()
    assert second.node_states() == {"n1": "idle"}


def test_a_cluster_ends_with_the_process_that_holds_its_lock(slurm, second):
    theirs = inhabitants(second)
    os.killpg(second.holder.pid, signal.SIGKILL)
    slurm.wait_until(lambda: not theirs & living().keys(), 20)
    assert slurm.node_states() == {"n1": "idle", "n2": "idle"}


def test_a_folder_of_somebody_else_is_left_alone(slurm, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("precious")
    stranger = SlurmCluster(tmp_path, slurm.python, "")
    with pytest.raises(AssertionError, match="name another CLUSTER_DIR"):
        stranger.verb("up")
    stranger.verb("down")
    assert (tmp_path / "etc" / "passwd").read_text() == "precious"
