"""The doctor on a real Slurm: faults that are really there, each with its cause in one sentence."""

import contextlib
import json
import shutil
import signal
import subprocess

import pytest

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(300)]
A = "labkit-a"
PROGRAM = """
import dataclasses, json, sys
from labkit.cluster.doctor import examine
report = examine(sys.argv[1:], progress=lambda text: print(text, file=sys.stderr, flush=True))
print(json.dumps([dataclasses.asdict(finding) for finding in report.findings]))
"""
OF_A_JOB = """
import dataclasses, json, sys
from labkit.cluster.doctor import examine
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import find_scheduler

class Engines:
    options, job_id = ClusterOptions("slurm", num_ranks=1), sys.argv[1]
    state = find_scheduler("slurm").state(job_id)

print(json.dumps([dataclasses.asdict(finding) for finding in examine([], Engines()).findings]))
"""


class Doctor:
    """Examines as user labkit-a on the host ctl."""

    def __init__(self, slurm):
        self.slurm = slurm
        self.folder = slurm.home(A) / ".labkit" / "clusters"

    def __call__(self, *words, kind="slurm", program=PROGRAM, **options):
        """The findings, as dicts."""
        arguments = [kind, *words] if kind else words
        done = self.slurm.as_user(
            A, "ctl", str(self.slurm.python), "-c", program, *map(str, arguments), timeout=200, check=True, **options
        )
        return json.loads(done.stdout.splitlines()[-1])

    def cause(self, *words, **options):
        """The one finding that fails; nothing is left behind."""
        findings = self(*words, **options)
        failing = [finding for finding in findings if finding["status"] == "fail"]
        assert len(failing) == 1, findings
        self.check_clean()
        return failing[0]

    def jobs(self):
        # A job that has been cancelled stays in this list while its processes end.
        words = ["squeue", "--noheader", f"--user={A}", "--states=PENDING,CONFIGURING,RUNNING", "--format=%i"]
        return self.slurm.as_root("ctl", *words, check=True).stdout.split()

    def check_clean(self):
        assert self.jobs() == []
        assert not self.folder.exists() or list(self.folder.iterdir()) == []


@pytest.fixture
def doctor(slurm):
    slurm.clear()
    return Doctor(slurm)


@pytest.fixture
def wrapper(slurm):
    """Makes interpreters that do something on host n2 first."""
    folder = slurm.scratch / "wrappers"
    folder.mkdir()

    def make(line):
        path = folder / "python"
        path.write_text(f'#!/bin/sh\nif [ "$(hostname)" = n2 ]; then {line}; fi\nexec {slurm.python} "$@"\n')
        path.chmod(0o755)
        folder.chmod(0o755)
        return path

    yield make
    shutil.rmtree(folder)


@contextlib.contextmanager
def done_and_undone(slurm, *commands):
    """Commands of root as (host, to do, to undo)."""
    done = []
    try:
        for host, do, undo in commands:
            slurm.as_root(host, *do.split(), check=True)
            done.append((host, undo))
        yield
    finally:
        for host, undo in reversed(done):
            slurm.as_root(host, *undo.split(), check=True)


def test_healthy_cluster_has_no_finding(doctor, slurm):
    findings = doctor("-n", 4, "--nodes", 2)
    assert {finding["status"] for finding in findings} == {"ok"}, findings
    facts = {finding["name"]: finding["detail"] for finding in findings}
    assert "MPICH" in facts["MPI library"] and str(slurm.python.parents[1]) in facts["MPI library"]
    assert "n1: rank 0-1; n2: rank 2-3" in facts["MPI world"]
    assert "eth0" in facts["connection"] and "eth0" in facts["network"]
    assert "00:10:00" in facts["time limit"]  # DefaultTime of the partition
    assert "clocks" in facts and "GPU buffers" in facts
    doctor.check_clean()


def test_mpiexec_makes_a_world_too(doctor):
    findings = doctor("-n", 4, "--nodes", 2, "--mpi", "mpiexec")
    assert {finding["status"] for finding in findings} == {"ok"}, findings


def test_no_shared_folder(doctor, slurm):
    cause = doctor.cause("-n", 2, "--nodes", 2, "--folder", "/tmp/private")
    assert cause["name"] == "shared folder" and "n1, n2" in cause["detail"] and "--folder" in cause["remedy"]
    assert slurm.as_root("ctl", "ls", "/tmp/private", check=True).stdout == ""


def test_loopback_address(doctor):
    cause = doctor.cause("--address", "127.0.0.1")
    assert cause["name"] == "address" and "127.0.0.1" in cause["detail"]


def test_address_of_another_network(doctor, slurm):
    with done_and_undone(
        slurm, ("ctl", "ip address add 10.55.0.1/24 dev eth0", "ip address del 10.55.0.1/24 dev eth0")
    ):
        cause = doctor.cause("-n", 2, "--nodes", 2, "--address", "10.55.0.1")
    assert cause["name"] == "connection" and "n1, n2" in cause["detail"] and "another network" in cause["detail"]
    assert "--address" in cause["remedy"]


def test_packets_to_the_controller_get_lost(doctor, slurm):
    """As a firewall loses them: a second address of ctl, for which the nodes know a wrong machine."""
    own = slurm.as_user(A, "ctl", "hostname", "-I", check=True).stdout.split()[0]
    other = f"{own.rpartition('.')[0]}.77"
    wrong = f"ip neighbour replace {other} lladdr 02:00:00:00:00:01 dev eth0 nud permanent"
    right = f"ip neighbour del {other} dev eth0"
    address = (f"ip address add {other}/24 dev eth0", f"ip address del {other}/24 dev eth0")
    with done_and_undone(slurm, ("ctl", *address), ("n1", wrong, right), ("n2", wrong, right)):
        cause = doctor.cause("-n", 2, "--nodes", 2, "--address", other)
    assert cause["name"] == "connection" and "firewall" in cause["detail"]


def test_neither_folder_nor_way_back(doctor, slurm):
    with done_and_undone(
        slurm, ("ctl", "ip address add 10.55.0.1/24 dev eth0", "ip address del 10.55.0.1/24 dev eth0")
    ):
        cause = doctor.cause("-n", 2, "--folder", "/tmp/private", "--address", "10.55.0.1")
    assert cause["name"] == "shared folder" and "neither" in cause["detail"]


def test_no_interpreter(doctor):
    cause = doctor.cause("-n", 2, "--python", "/opt/nowhere/bin/python")
    assert cause["name"] == "environment" and "/opt/nowhere/bin/python does not start on n1" in cause["detail"]
    assert "--python" in cause["remedy"]


def test_no_environment(doctor):
    cause = doctor.cause("-n", 2, "--environment", "/opt/nowhere")
    assert cause["name"] == "environment" and "/opt/nowhere" in cause["detail"]


def test_no_module(doctor):
    cause = doctor.cause("-n", 2, "--module", "openmpi/77")
    assert cause["name"] == "environment" and "openmpi/77" in cause["detail"] and "--module" in cause["remedy"]


def test_missing_package(doctor, slurm):
    bare = slurm.scratch / "bare"
    subprocess.run(
        [slurm.as_root("ctl", "readlink", "-f", str(slurm.python)).stdout.strip(), "-m", "venv", "--without-pip", bare],
        check=True,
    )
    try:
        cause = doctor.cause("-n", 2, "--environment", bare)
    finally:
        shutil.rmtree(bare)
    assert cause["name"] == "environment" and "mpi4py is missing on n1" in cause["detail"]
    assert "pip install mpich mpi4py" in cause["remedy"]


def test_launcher_that_makes_worlds_of_one(doctor):
    cause = doctor.cause("-n", 4, "--nodes", 2, "--mpi", "none")
    assert cause["name"] == "MPI world" and "4 times a world of size 1" in cause["detail"]
    assert "--mpi pmi2" in cause["remedy"]


def test_launcher_of_another_kind(doctor):
    cause = doctor.cause("-n", 2, "--mpi", "pmix")
    assert cause["name"] == "MPI world" and "--mpi pmi2" in cause["remedy"]


def test_launcher_that_slurm_does_not_know(doctor):
    cause = doctor.cause("-n", 2, "--mpi", "pmix_v9")
    assert cause["name"] == "launcher" and "pmix_v9" in cause["remedy"] and "srun --mpi=list" in cause["remedy"]


def test_ranks_that_load_another_file_of_the_library(doctor, slurm, wrapper):
    copy = slurm.scratch / "copy"
    library = slurm.python.parents[1] / "lib"
    copy.mkdir()
    for path in library.glob("libmpi.so*"):
        shutil.copy2(path, copy)
    shutil.copytree(library / "mpich", copy / "mpich")
    try:
        findings = doctor("-n", 2, "--nodes", 2, "--python", wrapper(f"export MPI4PY_LIBMPI={copy}/libmpi.so.12"))
    finally:
        shutil.rmtree(copy)
    unsound = [finding for finding in findings if finding["status"] != "ok"]
    assert [finding["name"] for finding in unsound] == ["MPI library"], findings
    assert str(copy) in unsound[0]["detail"] and str(library) in unsound[0]["detail"]


def test_clock_of_a_node(doctor, slurm, wrapper):
    """No host here can have another clock than the machine, so Python on n2 is told that it has."""
    skew = slurm.scratch / "skew"
    skew.mkdir()
    (skew / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() - 3600\n")
    try:
        cause = doctor.cause("-n", 2, "--nodes", 2, "--python", wrapper(f"export PYTHONPATH={skew}"))
    finally:
        shutil.rmtree(skew)
    assert cause["name"] == "clocks" and "-3600.0 s" in cause["detail"] and cause["detail"].endswith("on n2")


def test_unknown_partition(doctor):
    cause = doctor.cause("--partition", "gold")
    assert cause["name"] == "partition" and "gold" in cause["detail"] and "debug" in cause["remedy"]


def test_forbidden_partition(doctor):
    cause = doctor.cause("--partition", "staff")
    assert cause["name"] == "partition" and "staff" in cause["detail"] and "staff" not in cause["remedy"]


def test_partition_for_other_accounts(doctor):
    """Slurm takes the job and lets it wait for ever."""
    cause = doctor.cause("--partition", "project")
    assert cause["name"] == "job" and "wait for ever" in cause["detail"] and "--account" in cause["remedy"]


def test_time_above_the_limit(doctor):
    cause = doctor.cause("--partition", "short", "--time", "30")
    assert cause["name"] == "time limit" and "00:02:00" in cause["detail"] and "--time 00:02:00" in cause["remedy"]


def test_time_limit_of_the_notebooks_job(doctor, slurm):
    job = slurm.submit(A, "--time=10", "--output=/dev/null", "--wrap=sleep 600")
    slurm.wait_state(job, "RUNNING")
    slurm.expire(job)
    slurm.wait_state(job, "TIMEOUT", timeout=90)
    cause = doctor.cause(job, kind="", program=OF_A_JOB)
    assert cause["name"] == "time limit" and f"job {job}" in cause["detail"] and "longer --time" in cause["remedy"]


@pytest.mark.parametrize(
    "words, text",
    [
        (("--memory", "400G"), "--memory 400G"),
        (("--gpus", "2"), "--gpus 2"),
        (("--nodes", "2", "-n", "99"), "-n 99"),
    ],
)
def test_more_than_there_is(doctor, words, text):
    cause = doctor.cause(*words)
    assert cause["name"] == "submission" and text in cause["detail"] + cause["remedy"]


def test_drained_nodes(doctor, slurm):
    drain = "scontrol update NodeName={0} State=DRAIN Reason=fan"
    resume = "scontrol update NodeName={0} State=RESUME"
    with done_and_undone(slurm, *(("ctl", drain.format(node), resume.format(node)) for node in ("n1", "n2"))):
        cause = doctor.cause("-n", 2)
    assert cause["name"] == "partition" and "all 2 nodes" in cause["detail"] and "fan" in cause["detail"]


def test_munge_of_the_configuration(doctor, slurm):
    folder = slurm.scratch / "etc"
    folder.mkdir()
    for name in ("slurm.conf", "cgroup.conf"):
        shutil.copy(slurm.folder / "etc" / name, folder)
    with (folder / "slurm.conf").open("a") as file:
        file.write("AuthInfo=socket=/run/munge/nowhere\n")
    try:
        cause = doctor.cause("-n", 2, env={"SLURM_CONF": str(folder / "slurm.conf")})
    finally:
        shutil.rmtree(folder)
    assert cause["name"] == "authentication" and "/run/munge/nowhere" in cause["detail"] and "munged" in cause["remedy"]


def test_controller_that_does_not_answer(doctor, slurm):
    number = slurm.as_root("ctl", "cat", "/run/slurmctld.pid", check=True).stdout.strip()
    with done_and_undone(slurm, ("ctl", f"kill -STOP {number}", f"kill -CONT {number}")):
        findings = doctor("-n", 2)
    failing = [finding for finding in findings if finding["status"] == "fail"]
    assert [finding["name"] for finding in failing] == ["scheduler"] and "DOWN" in failing[0]["detail"]


def test_queue_that_is_too_long(doctor, slurm):
    busy = slurm.submit("labkit-b", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 600")
    slurm.wait_state(busy, "RUNNING")
    findings = doctor("-n", 2, "--wait", 2)
    unsound = [finding for finding in findings if finding["status"] != "ok"]
    assert [(finding["name"], finding["status"]) for finding in unsound] == [("job", "warn")], findings
    assert "--wait" in unsound[0]["remedy"]
    doctor.check_clean()


def test_interrupt_in_the_queue_cancels_the_job(doctor, slurm):
    busy = slurm.submit("labkit-b", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 600")
    slurm.wait_state(busy, "RUNNING")
    process = slurm.popen(A, "ctl", str(slurm.python), "-c", PROGRAM, "slurm", "-n", "2")
    slurm.wait_until(doctor.jobs, 60, "a job of the doctor")
    process.signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in output
    doctor.check_clean()
