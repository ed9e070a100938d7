"""The doctor's diagnosis of made-up evidence: each cause is named once, and its symptoms are not."""

import dataclasses
import json
import socket

import pytest

from labkit.cluster.doctor import Evidence, Report, diagnose
from labkit.cluster.doctor.evidence import Answer, Job, Partition, Process
from labkit.cluster.doctor.examine import options_for, split_wait
from labkit.cluster.doctor.listener import Listener
from labkit.cluster.doctor.mpi_checks import short_name
from labkit.cluster.doctor.probe import transports_in
from labkit.cluster.doctor.probe_run import processes_of
from labkit.cluster.doctor.site_looks import parse_partitions, seconds
from labkit.cluster.options import ClusterOptions
from labkit.errors import UsageError

MPICH = "MPICH Version:      5.0.2\nMPICH Release date: today"
OPEN_MPI = "Open MPI v5.0.11, package: Open MPI root@buildhost"
INTEL_MPI = "Intel(R) MPI Library 2021.13 for Linux* OS"
VERSIONS = {
    "python": "3.11.7",
    "mpi4py": "4.1.2",
    "numpy": "2.3.1",
    "psutil": "7.0",
    "IPython": "9.1.0",
    "ipyparallel": "9.2.0",
    "labkit": "0.1.0",
}
DEBUG = Partition("debug", True, True, 3600, 600, 2, 2)
SSH = {"kind": "ssh", "hosts": ("a", "b")}
LONG = Partition("long", False, True, 86400, None, 8, 8)


def process(number=0, /, **changes):
    facts = {
        "host": f"n{number % 2 + 1}",
        "pid": 100 + number,
        "stage": "mpi",
        "python": "/env/bin/python",
        "versions": dict(VERSIONS),
        "folder_seen": True,
        "connect_error": "",
        "source_address": "10.0.0.9",
        "interface": "ib0",
        "clock_offset_s": 0.0002,
        "clock_error_s": 0.0001,
        "size": 4,
        "rank": number,
        "library": MPICH,
        "paths": ("/env/lib/libmpi.so.12",),
        "thread_level": "MULTIPLE",
        "transports": "UCX, between nodes rc_mlx5/mlx5_0:1",
        "memory_kinds": "mpi,system",
    }
    return Process(**facts | changes)


def unborn(number=0, /, **changes):
    """A process that came no further than Python."""
    nothing = {
        "size": None,
        "rank": None,
        "library": "",
        "paths": (),
        "thread_level": "",
        "transports": "",
        "memory_kinds": "",
    }
    return process(number, **{"stage": "python", **nothing, **changes})


def evidence(options=(), processes=None, **changes):
    """Of a cluster of two nodes on which everything works, but for the changes."""
    facts = {
        "title": "Slurm",
        "host": "login1",
        "versions": dict(VERSIONS),
        "found": {"sbatch": "/usr/bin/sbatch", "srun": "/usr/bin/srun"},
        "authentication": Answer("munge -n | unmunge", 0, "STATUS: Success"),
        "version": "slurm 24.05",
        "controller": Answer("scontrol ping", 0, "Slurmctld(primary) at ctl is UP"),
        "partitions": (DEBUG, LONG),
        "folder": "/home/ada/.labkit/clusters/doctor-1",
        "address": "10.0.0.1",
        "interface": "eth0",
        "submission": Answer("sbatch --test-only", 0, ""),
        "job": Job("7", "ended", nodes=("n1", "n2"), waited_s=2, started=True),
        "num_asked": 4,
        "processes": tuple(process(rank) for rank in range(4)) if processes is None else tuple(processes),
        "launcher_code": 0,
    }
    chosen = ClusterOptions(**{"kind": "slurm", "num_ranks": 4, "num_nodes": 2, **dict(options)})
    return Evidence(options=chosen, **facts | changes)


def only_cause(seen):
    """The finding that fails; there is one."""
    failing = [finding for finding in diagnose(seen) if finding.status == "fail"]
    assert len(failing) == 1, failing
    assert failing[0].remedy
    return failing[0]


def not_run(answer=None, **changes):
    """Evidence of a job that was not tried."""
    return evidence(
        **{"job": None, "num_asked": 0, "processes": (), "submission": answer, "launcher_code": None, **changes}
    )


def test_healthy_cluster_has_no_finding_that_fails_and_tells_the_facts():
    findings = diagnose(evidence())
    assert {finding.status for finding in findings} == {"ok"}
    facts = {finding.name: finding.detail for finding in findings}
    assert "MPICH 5.0.2" in facts["MPI library"] and "/env/lib/libmpi.so.12" in facts["MPI library"]
    assert "MULTIPLE" in facts["MPI library"]
    assert "n1: rank 0, 2; n2: rank 1, 3" in facts["MPI world"]
    assert "mlx5_0" in facts["network"]
    assert "ib0" in facts["connection"]
    assert "00:10:00" in facts["time limit"] and "01:00:00" in facts["time limit"]


# Words of Slurm 22.05 where it has been seen to say them.
CAUSES = {
    "commands": (
        not_run(found={"sbatch": "", "srun": ""}, authentication=None, controller=None, partitions=()),
        "commands",
        "sbatch, srun: not found on login1",
        "login node",
    ),
    "munge": (
        not_run(
            authentication=Answer("munge -n", 1, 'munge: Error: Failed to access "/run/munge/munge.socket.2"'),
            controller=Answer("scontrol ping", 1, "DOWN"),
            partitions=(),
        ),
        "authentication",
        "munge.socket",
        "munged",
    ),
    "munge of Slurm": (
        not_run(
            controller=Answer("scontrol ping", 1, 'error: Munge encode failed: Failed to access "/x"\nis DOWN'),
            partitions=(),
        ),
        "authentication",
        "Munge encode failed",
        "munged",
    ),
    "authentication at submission": (
        not_run(Answer("sbatch --test-only", 1, "sbatch: error: Protocol authentication error")),
        "authentication",
        "Protocol authentication error",
        "munged",
    ),
    "clock of this machine": (
        not_run(Answer("sbatch --test-only", 1, "error: Munge decode failed: Expired credential")),
        "clocks",
        "5 minutes",
        "clock",
    ),
    "controller": (
        not_run(controller=Answer("scontrol ping", 1, "Slurmctld(primary) at ctl is DOWN"), partitions=()),
        "scheduler",
        "DOWN",
        "scontrol ping",
    ),
    "controller at submission": (
        not_run(
            Answer("sbatch --test-only", 1, "allocation failure: Unable to contact slurm controller (connect failure)")
        ),
        "scheduler",
        "Unable to contact",
        "support",
    ),
    "no such partition": (not_run(options={"partition": "gold"}), "partition", "'gold'", "debug, long"),
    "no default partition": (not_run(partitions=(LONG,)), "partition", "none is the default", "long"),
    "partition closed": (
        not_run(partitions=(dataclasses.replace(DEBUG, is_up=False), LONG)),
        "partition",
        "debug",
        ": long",
    ),
    "nodes down": (
        not_run(partitions=(dataclasses.replace(DEBUG, num_usable=0, reasons="fan broken"), LONG)),
        "partition",
        "fan broken",
        "long",
    ),
    "too few nodes left": (
        not_run(partitions=(dataclasses.replace(DEBUG, num_usable=1, reasons="fan broken"), LONG)),
        "partition",
        "only 1 of 2",
        "--nodes 1",
    ),
    "too many nodes": (not_run(options={"num_nodes": 3}), "partition", "--nodes 3", "--nodes 2"),
    "time above the partition's": (not_run(options={"time": "02:00:00"}), "time limit", "01:00:00", "--partition long"),
    "time limit too short": (
        evidence(
            last_job=Job("5", "ended", "Its time limit of 00:01:00 passed.", "TIMEOUT"),
            job=None,
            processes=(),
            num_asked=0,
        ),
        "time limit",
        "job 5",
        "longer --time",
    ),
    "account": (
        not_run(
            Answer(
                "sbatch --test-only",
                1,
                "allocation failure: Invalid account or account/partition combination specified",
            ),
            options={"account": "bronze"},
        ),
        "submission",
        "account bronze is refused",
        "--account",
    ),
    "group": (
        not_run(
            Answer("sbatch --test-only", 1, "allocation failure: User's group not permitted to use this partition"),
            options={"partition": "long"},
        ),
        "submission",
        "partition long is refused",
        "debug",
    ),
    "partition unseen": (
        not_run(
            Answer("sbatch --test-only", 1, "sbatch: error: invalid partition specified: x"),
            options={"partition": "x"},
            partitions=(),
        ),
        "submission",
        "there is no partition x",
        "sinfo",
    ),
    "GPUs": (
        not_run(
            Answer("sbatch --test-only", 1, "sbatch: error: Invalid generic resource (gres) specification"),
            options={"gpus": 2},
        ),
        "submission",
        "--gpus 2",
        "--gpus",
    ),
    "memory": (
        not_run(
            Answer("sbatch --test-only", 1, "allocation failure: Memory specification can not be satisfied"),
            options={"memory": "900G"},
        ),
        "submission",
        "memory",
        "--memory",
    ),
    "node": (
        not_run(Answer("sbatch", 1, "allocation failure: Requested node configuration is not available")),
        "submission",
        "-n 4 --nodes 2",
        "sinfo",
    ),
    "unknown refusal": (
        not_run(Answer("sbatch", 1, "sbatch: error: Job rejected by the moon")),
        "submission",
        "the moon",
        "--dry-run",
    ),
    "account in the queue": (
        evidence(processes=(), job=Job("7", "queued", "", "PENDING (AccountNotAllowed)", waited_s=3)),
        "job",
        "wait for ever",
        "--account",
    ),
    "time in the queue": (
        evidence(
            processes=(),
            partitions=(),
            options={"time": "99:00:00"},
            job=Job("7", "queued", "", "PENDING (PartitionTimeLimit)", waited_s=3),
        ),
        "job",
        "99:00:00",
        "--time",
    ),
    "folder here": (
        not_run(folder="", folder_error="[Errno 13] Permission denied: '/data'"),
        "folder",
        "Permission denied",
        "--folder",
    ),
    "loopback": (
        evidence(
            options={"address": "127.0.0.1"},
            address="127.0.0.1",
            interface="lo",
            processes=[
                process(rank, connect_error="[Errno 111] Connection refused", clock_offset_s=None) for rank in range(4)
            ],
        ),
        "address",
        "127.0.0.1",
        "--address",
    ),
    "foreign address": (
        evidence(
            address="10.9.9.9",
            address_error="[Errno 99] Cannot assign requested address",
            processes=[process(rank, connect_error="timed out", clock_offset_s=None) for rank in range(4)],
        ),
        "address",
        "10.9.9.9",
        "ip address",
    ),
    "no address": (
        evidence(address="", address_error="This machine has no address"),
        "address",
        "no address",
        "--address",
    ),
    "firewall": (
        evidence(processes=[process(rank, connect_error="timed out", clock_offset_s=None) for rank in range(4)]),
        "connection",
        "firewall",
        "--address",
    ),
    "refused": (
        evidence(
            processes=[
                process(0),
                process(1, connect_error="[Errno 111] Connection refused", clock_offset_s=None),
                process(2),
                process(3),
            ]
        ),
        "connection",
        "n2 cannot reach",
        "--address",
    ),
    "other network": (
        evidence(
            processes=[
                process(rank, connect_error="[Errno 101] Network is unreachable", clock_offset_s=None)
                for rank in range(4)
            ]
        ),
        "connection",
        "another network",
        "--address",
    ),
    "no shared folder": (
        evidence(
            processes=[unborn(rank, stage="shell", folder_seen=False, python_error="not found") for rank in range(4)]
        ),
        "shared folder",
        "not seen on n1, n2",
        "--folder",
    ),
    "neither folder nor connection": (evidence(processes=()), "shared folder", "neither", "--folder"),
    "no interpreter": (
        evidence(
            processes=[
                unborn(rank, stage="shell", python="/opt/py", python_error="/opt/py: No such file") for rank in range(4)
            ]
        ),
        "environment",
        "/opt/py does not start on n1, n2",
        "--python",
    ),
    "package missing": (
        evidence(
            processes=[
                process(0),
                unborn(1, versions=VERSIONS | {"ipyparallel": ""}, errors={"ipyparallel": "No module"}),
            ]
        ),
        "environment",
        "ipyparallel is missing on n2",
        "pip install ipyparallel",
    ),
    "mpi4py missing": (
        evidence(
            processes=[
                unborn(r, versions=VERSIONS | {"mpi4py": ""}, mpi_error="ModuleNotFoundError: mpi4py") for r in range(4)
            ]
        ),
        "environment",
        "mpi4py is missing",
        "pip install mpich mpi4py",
    ),
    "package broken": (
        evidence(processes=[unborn(r, errors={"numpy": "ImportError: libblas.so"}) for r in range(4)]),
        "environment",
        "libblas.so",
        "import numpy",
    ),
    "other Python": (
        evidence(processes=[process(r, versions=VERSIONS | {"python": "3.12.1"}) for r in range(4)]),
        "environment",
        "3.12.1",
        "same environment",
    ),
    "other labkit": (
        evidence(processes=[process(r, versions=VERSIONS | {"labkit": "0.0.9"}) for r in range(4)]),
        "environment",
        "0.0.9",
        "0.1.0",
    ),
    "no module": (
        evidence(processes=(), launcher_code=65, launcher_said="labkit: the module x cannot be loaded on n1."),
        "environment",
        "module x",
        "--module",
    ),
    "no environment": (
        evidence(processes=(), launcher_code=66, launcher_said="labkit: there is no venv /opt/none on n1."),
        "environment",
        "/opt/none",
        "--environment",
    ),
    "no such launcher": (
        evidence(
            processes=(),
            launcher_code=1,
            options={"mpi": "pmix_v9"},
            launcher_said="srun: error: Invalid MPI type 'pmix_v9', --mpi=list for acceptable types",
        ),
        "launcher",
        "pmix_v9",
        "srun --mpi=list",
    ),
    "no MPI library": (
        evidence(processes=[unborn(r, mpi_error="RuntimeError: cannot load MPI library") for r in range(4)]),
        "MPI library",
        "cannot load",
        "--module",
    ),
    "MPICH by none": (
        evidence(options={"mpi": "none"}, processes=[process(r, size=1, rank=0) for r in range(4)]),
        "MPI world",
        "4 times a world of size 1",
        "--mpi pmi2",
    ),
    "Open MPI by pmi2": (
        evidence(processes=[process(r, size=1, rank=0, library=OPEN_MPI) for r in range(4)]),
        "MPI world",
        "Open MPI 5.0.11",
        "--mpi pmix",
    ),
    "Intel MPI by pmix": (
        evidence(options={"mpi": "pmix"}, processes=[process(r, size=1, rank=0, library=INTEL_MPI) for r in range(4)]),
        "MPI world",
        "Intel",
        "--mpi pmi2",
    ),
    "MPICH by pmi2, in vain": (
        evidence(processes=[process(r, size=1, rank=0) for r in range(4)]),
        "MPI world",
        "pmi2",
        "--mpi mpiexec",
    ),
    "mpiexec of another": (
        evidence(options={"mpi": "mpiexec"}, processes=[process(r, size=1, rank=0) for r in range(4)]),
        "MPI world",
        "mpiexec",
        "--module",
    ),
    "two libraries": (
        evidence(
            processes=[
                process(0, size=1, rank=0),
                process(1, size=1, rank=0, library=OPEN_MPI, paths=("/opt/lib/libmpi.so.40",)),
            ]
        ),
        "MPI library",
        "/opt/lib/libmpi.so.40",
        "same",
    ),
    "two in one rank": (
        evidence(processes=[process(r, paths=("/env/lib/libmpi.so.12", "/opt/lib/libmpi.so.40")) for r in range(4)]),
        "MPI library",
        "two MPI libraries",
        "keep one",
    ),
    "Init fails": (
        evidence(
            options={"mpi": "pmix"},
            launcher_said="Abort(1): Fatal error in internal_Init_thread",
            processes=[unborn(r, stage="loaded", library=MPICH, paths=("/env/lib/libmpi.so.12",)) for r in range(4)],
        ),
        "MPI world",
        "Fatal error",
        "--mpi pmi2",
    ),
    "ranks missing": (
        evidence(processes=[process(r, stage="world") for r in range(3)]),
        "MPI world",
        "3 of 4",
        "mpiexec",
    ),
    "ranks apart": (
        evidence(processes=[process(r, stage="world") for r in range(4)]),
        "MPI world",
        "barrier",
        "UCX_NET_DEVICES",
    ),
    "no GPU": (evidence(options={"gpus": 1}), "GPUs", "n1, n2", "partition"),
    "SSH login": (
        not_run(options=SSH, hosts={"a": Answer("ssh a true", 255, "ada@a: Permission denied (publickey).")}),
        "hosts",
        "Permission denied",
        "ssh-copy-id a",
    ),
    "SSH name": (
        not_run(options=SSH, hosts={"a": Answer("ssh a true", 255, "ssh: Could not resolve hostname a")}),
        "hosts",
        "a cannot be reached",
        "--hosts",
    ),
    "clock of a node": (
        evidence(processes=[process(0), process(1, clock_offset_s=-3600.0), process(2), process(3)]),
        "clocks",
        "-3600.0 s +- 0.1 ms on n2",
        "chronyd",
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_cause(name):
    seen, row, words, remedy = CAUSES[name]
    found = only_cause(seen)
    assert found.name == row
    assert words in found.detail
    assert remedy in found.remedy


def test_independent_causes_are_both_told_the_more_basic_one_first():
    seen = evidence(
        processes=[process(r, size=1, rank=0, connect_error="timed out", clock_offset_s=None) for r in range(4)]
    )
    report = Report("Cluster", tuple(diagnose(seen)), seen)
    assert report.cause.name == "connection"
    assert "After that, see to: MPI world." in report.text


def test_small_things_are_worth_a_look_and_no_cause():
    seen = evidence(
        processes=[
            process(0, clock_offset_s=4.0, gpus=("H200",), gpu_aware=False),
            process(1, paths=("/copy/libmpi.so.12",)),
            process(2),
            process(3),
        ]
    )
    report = Report("Cluster", tuple(diagnose(seen)), seen)
    assert report.cause is None
    assert [f.name for f in report.findings if f.status == "warn"] == ["MPI library", "GPU buffers", "clocks"]
    assert "worth a look: MPI library, GPU buffers, clocks" in report.text


def test_a_job_that_still_waits_is_no_cause_but_said():
    seen = evidence(
        processes=(), job=Job("7", "queued", "Jobs of higher priority wait.", "PENDING (Priority)", waited_s=120)
    )
    warned = [finding for finding in diagnose(seen) if finding.status != "ok"]
    assert [(f.name, f.status) for f in warned] == [("job", "warn")]
    assert "120 s" in warned[0].detail and "higher priority" in warned[0].detail and "--wait" in warned[0].remedy


def test_an_offset_within_its_error_is_none():
    seen = evidence(processes=[process(rank, clock_offset_s=90.0, clock_error_s=95.0) for rank in range(4)])
    assert {finding.status for finding in diagnose(seen)} == {"ok"}


@pytest.mark.parametrize(
    "changes, status, words",
    [
        ({"gpu_aware": True}, "ok", "takes them"),
        ({"memory_kinds": "mpi,system,cuda:device"}, "ok", "takes them"),
        ({"gpu_aware": False, "gpus": ("H200",)}, "warn", "copied to the host"),
        ({"gpu_aware": None, "memory_kinds": ""}, "ok", "does not say"),
    ],
)
def test_gpu_buffers(changes, status, words):
    seen = evidence(processes=[process(rank, **changes) for rank in range(4)])
    row = next(finding for finding in diagnose(seen) if finding.name == "GPU buffers")
    assert row.status == status and words in row.detail + row.remedy


def test_report_shows_each_row_and_escapes_what_others_wrote():
    seen = not_run(Answer("sbatch", 1, "sbatch: error: <b>no</b>"))
    report = Report("Cluster of kind slurm", tuple(diagnose(seen)), seen)
    assert (
        "NO  submission" in report.text
        and "\nCause: Slurm refuses" in report.text
        and "\nRemedy: look at" in report.text
    )
    page = report._repr_html_()
    assert "&lt;b&gt;no&lt;/b&gt;" in page and "<b>no</b>" not in page
    for finding in report.findings:
        assert finding.name in page and finding.name in report.text


@pytest.mark.parametrize(
    "text, name",
    [
        (MPICH, "MPICH 5.0.2"),
        (OPEN_MPI, "Open MPI 5.0.11"),
        (INTEL_MPI, "Intel(R) MPI 2021.13"),
        ("MVAPICH2 Version      :\t2.3.7", "MVAPICH2 2.3.7"),
    ],
)
def test_names_of_libraries(text, name):
    assert short_name(text) == name


def test_transports_from_what_ucx_and_mpich_print():
    ucx = (
        "==== UCX netmod Capability ====\n[1.5] [n1:7:0] ucp_worker.c:1912 UCX  INFO    ucp_context_0 inter-node cfg#2 "
        "tag(tcp/eth0)  rma(tcp/eth0)  am(tcp/eth0)\n"
    )
    assert transports_in(ucx) == "UCX, between nodes tcp/eth0"
    assert transports_in("==== OFI ====\nlibfabric provider: cxi\n") == "libfabric, provider cxi"
    assert transports_in("") == ""


def test_partitions_of_slurm():
    text = (
        "debug*|up|1:00:00|10:00|3|idle|none\ndebug*|up|1:00:00|10:00|1|drained|fan broken\n"
        "debug*|up|1:00:00|10:00|2|allocated*|Not responding\ngold|inact|infinite|n/a|4|mixed|none\n"
    )
    assert parse_partitions(text) == (
        Partition("debug", True, True, 3600, 600, 6, 3, "fan broken, Not responding"),
        Partition("gold", False, False, None, None, 4, 4),
    )
    assert [seconds(text) for text in ("5-00:00:00", "10:00", "1-2:03:04", "infinite")] == [432000, 600, 93784, None]


def test_reports_of_one_process_become_one():
    reports = [
        {"host": "n1", "pid": 7, "stage": "mpi", "size": 2, "rank": 1, "connect_error": "", "clock_offset_s": 0.5},
        {"host": "n1", "pid": 7, "stage": "python", "folder_seen": True},
        {"host": "n1", "pid": 7, "stage": "loaded", "folder_seen": True, "library": MPICH},
        {"host": "n2", "pid": 7, "stage": "shell", "folder_seen": False, "unknown": 1},
        {"host": "n2", "pid": 8, "stage": "nonsense"},
    ]
    first, second = processes_of(reports)
    assert (first.stage, first.size, first.library, first.folder_seen) == ("mpi", 2, MPICH, True)
    assert (second.host, second.stage, second.folder_seen) == ("n2", "shell", False)


def test_listener_takes_nothing_without_the_token_and_tells_the_time():
    with Listener("127.0.0.1") as listener:
        for token, report in (("wrong", {"stage": "mpi"}), (listener.token, {"stage": "python"})):
            with (
                socket.create_connection(("127.0.0.1", listener.port), 10) as connection,
                connection.makefile("rw") as stream,
            ):
                print(token, file=stream)
                print("clock", file=stream, flush=True)
                assert bool(stream.readline()) == (token == listener.token)
                try:
                    print(json.dumps(report), file=stream, flush=True)
                    connection.shutdown(socket.SHUT_WR)
                    stream.read()  # until the other side is done
                except OSError:
                    assert token == "wrong"
        assert listener.reports == [{"stage": "python"}]
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", listener.port), 2)


def test_words():
    assert split_wait(["slurm", "--wait", "5", "-n", "2"]) == (["slurm", "-n", "2"], 5.0)
    assert split_wait(["slurm", "--wait=7"]) == (["slurm"], 7.0)
    assert split_wait([]) == ([], 120.0)
    for words in (["--wait"], ["--wait", "soon"], ["--wait=-1"], ["--wait=nan"]):
        with pytest.raises(UsageError, match="--wait"):
            split_wait(words)
    assert options_for(["slurm", "-n", "6"]).num_ranks == 6

    class Engines:
        options = ClusterOptions("ssh", hosts=("a", "b"))

    assert options_for([], Engines()) is Engines.options
