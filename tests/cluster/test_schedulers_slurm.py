"""Slurm as it answers: texts recorded from Slurm 22.05, states that it could not be brought into from its manual."""

import os
import shlex
import subprocess

import pytest

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import QueuePosition, find_scheduler
from labkit.cluster.schedulers.nodes import expand_nodes
from labkit.cluster.schedulers.slurm import parse_accounting, parse_job
from labkit.errors import EnginesError

# As scontrol --oneliner show job prints it; the paths of this user hold all that could mislead a parser.
JOB = (
    "JobId={id} JobName=slurm UserId=me(1000) GroupId=me(1000) MCS_label=N/A Priority=4294901759 Nice=0 "
    "Account=(null) QOS=(null) JobState={state} Reason={reason} Dependency=(null) Requeue=0 Restarts={restarts} "
    "BatchFlag=1 Reboot=0 ExitCode={code} RunTime=00:00:08 TimeLimit=00:10:00 TimeMin=N/A "
    "SubmitTime=2026-11-21T14:45:32 EligibleTime=2026-11-21T14:45:32 AccrueTime=2026-11-21T14:45:32 "
    "StartTime={start} EndTime=2026-11-21T14:55:33 Deadline=N/A SuspendTime=None SecsPreSuspend=0 "
    "LastSchedEval=2026-11-21T14:45:33 Scheduler=Backfill Partition=debug AllocNode:Sid=ctl:0 ReqNodeList=(null) "
    "ExcNodeList=(null) NodeList={nodes} SchedNodeList=n[8-9] NumNodes=2 NumCPUs=8 NumTasks=8 CPUs/Task=1 "
    "ReqB:S:C:T=0:0:*:* TRES=cpu=8,node=2,billing=8 Socks/Node=* NtasksPerN:B:S:C=4:0:*:* CoreSpec=* "
    "MinCPUsNode=4 MinMemoryNode=0 MinTmpDiskNode=0 Features=(null) DelayBoot=00:00:00 OverSubscribe=OK "
    "Contiguous=0 Licenses=(null) Network=(null) Command=/home/a b JobState=COMPLETED NodeList=x/j.sh "
    "WorkDir=/home/a b StdErr=/home/a b/o.log StdIn=/dev/null StdOut=/home/a b/o.log Power= \n"
)


def job(state, reason="None", code="0:0", nodes="n[1-2]", start="2026-11-21T14:45:33", restarts=0, id=5):
    return JOB.format(state=state, reason=reason, code=code, nodes=nodes, start=start, restarts=restarts, id=id)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """``tools(squeue="script")`` puts commands first on PATH; what they were called with is in ``tools.calls()``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    notes = tmp_path / "calls"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(**scripts):
        for name, script in scripts.items():
            note = f'printf "%s\\n" "$(basename "$0") $*" >>{shlex.quote(str(notes))}'
            (folder / name).write_text(f"#!/bin/bash\n{note}\n{script}\n")
            (folder / name).chmod(0o755)

    make.calls = lambda: notes.read_text().splitlines()
    return make


def says(text, status=0, stream=1):
    return f"printf '%s' {shlex.quote(text)} >&{stream}; exit {status}"


@pytest.mark.parametrize(
    "text,word,native,parts",
    [
        (job("RUNNING"), "running", "RUNNING", []),
        (job("CONFIGURING"), "starting", "CONFIGURING", ["boot"]),
        (job("PENDING", nodes="", start="Unknown"), "queued", "PENDING", ["not looked at it"]),
        (
            job("PENDING", "Resources", nodes="", start="2026-11-21T14:55:33"),
            "queued",
            "PENDING (Resources)",
            ["next in line", "expects to start it at 2026-11-21 14:55:33"],
        ),
        (job("PENDING", "Priority", nodes=""), "queued", "PENDING (Priority)", ["higher priority", "shorter --time"]),
        (job("PENDING", "PartitionTimeLimit", nodes=""), "queued", "PENDING (PartitionTimeLimit)", ["never start"]),
        (job("PENDING", "PartitionNodeLimit", nodes=""), "queued", "PENDING (PartitionNodeLimit)", ["fewer --nodes"]),
        (
            job("PENDING", "ReqNodeNotAvail,_UnavailableNodes:n1", nodes="", start="Unknown"),
            "queued",
            "PENDING (ReqNodeNotAvail, UnavailableNodes:n1)",
            ["maintenance", "Not available: n1."],
        ),
        (job("PENDING", "Dependency", nodes=""), "queued", "PENDING (Dependency)", ["waits for another job, as"]),
        (job("PENDING", "DependencyNeverSatisfied", nodes=""), "queued", None, ["can no longer come true"]),
        (job("PENDING", "QOSMaxJobsPerUserLimit", nodes=""), "queued", None, ["as many running jobs", "squeue --me"]),
        (job("PENDING", "QOSMaxCpuPerUserLimit", nodes=""), "queued", None, ["more than your quality of service"]),
        (job("PENDING", "AssocGrpCPUMinutesLimit", nodes=""), "queued", None, ["hours that are used up"]),
        (job("PENDING", "JobHeldUser", nodes=""), "queued", None, ["scontrol release"]),
        (job("PENDING", "SomethingNew", nodes=""), "queued", None, ["'SomethingNew'", "job_reason_codes"]),
        (
            job("PENDING", "BeginTime", nodes="", restarts=1, start="2026-11-21T14:50:27"),
            "queued",
            "PENDING (BeginTime)",
            ["back into the queue (restarts: 1)", "two minutes", "14:50:27"],
        ),
        (job("SUSPENDED"), "running", "SUSPENDED", ["in favour of another job"]),
        (job("COMPLETING"), "ended", "COMPLETING", ["is ending"]),
        (job("COMPLETED"), "ended", "COMPLETED", ["came to its end"]),
        (job("TIMEOUT", "TimeLimit", "143:0"), "ended", "TIMEOUT (TimeLimit)", ["of 00:10:00 passed", "--time"]),
        (job("NODE_FAIL", "NodeDown"), "ended", "NODE_FAIL (NodeDown)", ["nodes failed", "Start it again"]),
        (job("CANCELLED", "None", "0:15"), "ended", "CANCELLED", ["cancelled (by scancel, or"]),
        (job("PREEMPTED"), "ended", "PREEMPTED", ["higher priority", "--partition"]),
        (job("OUT_OF_MEMORY", "OutOfMemory", "0:125"), "ended", "OUT_OF_MEMORY (OutOfMemory)", ["--memory"]),
        (job("FAILED", "NonZeroExitCode", "3:0"), "ended", "FAILED (NonZeroExitCode)", ["failed (exit status 3)"]),
        (job("FAILED", "NonZeroExitCode", "137:0"), "ended", None, ["signal 9 (SIGKILL)"]),
        (job("BRAND_NEW"), "unknown", "BRAND_NEW", []),
    ],
)
def test_states(text, word, native, parts):
    state = parse_job(text)
    assert state.word == word
    assert native is None or state.native == native
    for part in parts:
        assert part in state.reason
    assert bool(state.reason) == (word not in ("running", "unknown") or "SUSPENDED" in text)
    assert state.nodes == (("n1", "n2") if "NodeList=n[1-2]" in text else ())


def test_exit():
    ends = {
        ("FAILED", "3:0"): "exit status 3",
        ("CANCELLED", "0:15"): "signal 15 (SIGTERM)",
        ("TIMEOUT", "143:0"): "exit status 143: signal 15 (SIGTERM)",
        ("NODE_FAIL", "0:0"): "",
        ("COMPLETED", "0:0"): "exit status 0",
        ("COMPLETING", "0:0"): "",
        ("RUNNING", "0:0"): "",
    }
    assert {(state, code): parse_job(job(state, code=code)).exit for state, code in ends} == ends


def test_accounting_says_who_cancelled():
    assert "by you (scancel)" in parse_accounting(f"CANCELLED by {os.getuid()}|0:15|n1\n").reason
    assert "the user with id 987654" in parse_accounting("CANCELLED by 987654|0:15|n[1-2]\n").reason
    state = parse_accounting("CANCELLED by 0|0:15|n[1-2]\n")
    assert (state.word, state.nodes, state.exit) == ("ended", ("n1", "n2"), "signal 15 (SIGTERM)")
    assert "root" in state.reason or os.getuid() == 0
    assert parse_accounting("TIMEOUT|0:0|None assigned").nodes == ()


def test_a_forgotten_job_is_looked_up_in_the_accounting(tools):
    unknown = says("slurm_load_jobs error: Invalid job id specified\n", 1, 2)
    tools(scontrol=unknown, sacct=says("FAILED|3:0|n1\n"))
    assert find_scheduler("slurm").state("99").exit == "exit status 3"
    tools(sacct=says("Slurm accounting storage is disabled\n", 1, 2))
    state = find_scheduler("slurm").state("99")
    assert (state.word, state.native) == ("unknown", "Invalid job id specified")
    assert tools.calls()[:2] == [
        "scontrol --oneliner show job 99",
        "sacct --allocations --noheader --parsable2 --jobs 99 --format=State,ExitCode,NodeList",
    ]


def test_a_controller_that_does_not_answer_is_no_forgotten_job(tools):
    tools(scontrol=says("slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1, 2))
    with pytest.raises(EnginesError, match="Unable to contact slurm controller.* -- .*scontrol ping"):
        find_scheduler("slurm").state("99")


def test_position(tools):
    queue = 'case "$*" in *--jobs*) echo debug;; *) printf "%s\\n" 12 9 31_[1-4] 40;; esac'
    tools(squeue=queue)
    slurm = find_scheduler("slurm")
    assert slurm.position("9") == QueuePosition(2, 4, "debug")
    assert slurm.position("99") is None
    assert "--sort=-p,i" in tools.calls()[1] and "--partition debug" in tools.calls()[1]
    tools(squeue="exit 0")  # it no longer waits
    assert slurm.position("9") is None


def test_cancelling_twice_is_no_error(tools):
    slurm = find_scheduler("slurm")
    for text in ("Invalid job id specified", "Job/step already completing or completed"):
        tools(scancel=says(f"scancel: error: Kill job error on job id 5: {text}\n", 1, 2))
        slurm.cancel("5")
    tools(scancel=says("scancel: error: Kill job error on job id 5: Access/permission denied\n", 1, 2))
    with pytest.raises(EnginesError, match="Access/permission denied -- you may not"):
        slurm.cancel("5")
    assert tools.calls() == ["scancel 5"] * 3


@pytest.mark.parametrize(
    "words,means",
    [
        (
            "sbatch: error: invalid partition specified: nix\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            "no such partition here. List them with sinfo -s",
        ),
        (
            "sbatch: error: Batch job submission failed: "
            "Invalid account or account/partition combination specified",
            "the account is not yours.*sacctmgr.*--account",
        ),
        (
            "sbatch: error: Memory specification can not be satisfied\n"
            "sbatch: error: Batch job submission failed: Requested node configuration is not available",
            "cores, GPUs or so much memory",
        ),
        ("sbatch: error: Invalid generic resource (gres) specification", "no such GPUs here"),
        (
            "sbatch: error: Batch job submission failed: "
            "Requested time limit is invalid (missing or exceeds some limit)",
            "longer than the partition allows.*--time",
        ),
        ("sbatch: error: Batch job submission failed: Protocol authentication error", "munge -n | unmunge"),
        ("sbatch: error: If munged is up, restart with --num-threads=10\n", "munge, which proves who you are"),
        ("sbatch: unrecognized option '--foo=1'\nTry \"sbatch --help\" for more information", "--directive"),
        ("sbatch: fatal: Could not establish a configuration source", "login node.*SLURM_CONF"),
        ("sbatch: error: the moon is in the wrong phase", "--dry-run"),
    ],
)
def test_refusals(tools, tmp_path, words, means):
    tools(sbatch=says(words, 1, 2))
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n")
    with pytest.raises(EnginesError, match=f"Slurm refused: sbatch said: (?s:.*){means}") as error:
        find_scheduler("slurm").submit(script)
    assert " ".join(words.split()) in str(error.value)


def test_submit(tools, tmp_path, monkeypatch):
    tools(sbatch="pwd >&2; env >env.txt; echo '4711;cluster1'")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "1000")
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm/other.conf")
    monkeypatch.setenv("SBATCH_ACCOUNT", "default")
    folder = tmp_path / "a b'c"
    folder.mkdir()
    script = folder / "job.sh"
    script.write_text("#!/bin/bash\n")
    assert find_scheduler("slurm").submit(script) == "4711"
    assert tools.calls() == [f"sbatch --parsable {script}"]
    environment = dict(line.partition("=")[::2] for line in (folder / "env.txt").read_text().splitlines())
    # a job inside a job would take the outer one's memory, ranks and id for its own
    assert not {"SLURM_JOB_ID", "SLURM_MEM_PER_CPU", "PMI_RANK"} & set(environment)
    assert (environment["SLURM_CONF"], environment["SBATCH_ACCOUNT"]) == ("/etc/slurm/other.conf", "default")


@pytest.mark.parametrize("text", ["5", "5\n", "5;east\n", "Submitted batch job 5\n", "sbatch: lua: hello\n5\n"])
def test_job_ids(text):
    assert find_scheduler("slurm").parse_job_id(text) == "5"


def test_no_job_id():
    with pytest.raises(EnginesError, match="told no job id, but 'hello 7 times'"):
        find_scheduler("slurm").parse_job_id("hello 7 times")


def test_directives_and_launch():
    options = ClusterOptions(
        "slurm", num_ranks=7, num_nodes=2, ranks_per_node=4, time="90", partition="p", account="a", gpus=2,
        memory="8G", directives=("-C ib",), name="lesson",
    )  # fmt: skip
    slurm = find_scheduler("slurm")
    assert slurm.directives(options, "/a b/100%.log") == [
        "#SBATCH --job-name=lesson",
        "#SBATCH --ntasks=7",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=4",
        "#SBATCH --time=01:30:00",
        "#SBATCH --partition=p",
        "#SBATCH --account=a",
        "#SBATCH --gpus-per-node=2",
        "#SBATCH --mem=8G",
        "#SBATCH --output='/a b/100%%.log'",
        "#SBATCH --no-requeue",
        "#SBATCH -C ib",
    ]
    shape = "--kill-on-bad-exit=1 --ntasks=7 --nodes=2 --ntasks-per-node=4"
    assert slurm.launch(options, ["a b", "$c"]) == f"srun --mpi=pmi2 {shape} 'a b' '$c'"
    assert slurm.launch(options.changed(mpi="none"), ["x"]) == f"srun {shape} x"
    assert slurm.launch(options.changed(mpi="mpiexec"), ["x"]) == "mpiexec -n 7 x"


def test_nodes():
    """Against bash, whose braces have the same ranges and zeros."""
    for text in ("n[1-3,7]", "n[08-11]", "a[1-2]b[3-4],c", "gpu[001,010-012],n5", "n1"):
        braces = text.replace(",c", " c").replace(",n5", " n5")
        for part in braces.replace("]", "[").split("[")[1::2]:
            items = ",".join(f"{{{r.replace('-', '..')}}}" if "-" in r else r for r in part.split(","))
            braces = braces.replace(f"[{part}]", f"{{{items}}}" if "," in part else items)
        done = subprocess.run(["bash", "-c", f"echo {braces}"], capture_output=True, text=True, timeout=10)
        assert list(expand_nodes(text)) == done.stdout.split(), (text, braces)
    assert expand_nodes("") == expand_nodes("(null)") == expand_nodes("None assigned") == ()


@pytest.mark.parametrize("text", ["n[1-", "n]1[", "n[a-b]", "n[3-1]", "n[1-9999999]", "n1,,n2", "n[1-400][1-400]"])
def test_no_nodes(text):
    with pytest.raises(ValueError):
        expand_nodes(text)
