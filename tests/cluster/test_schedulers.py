"""What all schedulers have in common; PBS as it answers (texts in the form of its manual)."""

import os
import shlex

import pytest

from labkit.cluster.options import BATCH_KINDS, ClusterOptions
from labkit.cluster.schedulers import find_scheduler, pbs
from labkit.cluster.schedulers.pbs import Pbs
from labkit.cluster.schedulers.scheduler import JobState, run_tool
from labkit.errors import EnginesError, NotAvailableError, UsageError


def says(text, status=0, stream=1):
    return f"printf '%s' {shlex.quote(text)} >&{stream}; exit {status}"


# -- running tools --------------------------------------------------------------------------------


def test_no_such_tool(tools):
    with pytest.raises(NotAvailableError, match="no command bsub-missing.*login node.*module load lsf"):
        run_tool(["bsub-missing"], "LSF")


def test_a_tool_that_hangs_is_ended(tools, tmp_path):
    tools(qstat=f"echo $$ >{shlex.quote(str(tmp_path / 'pid'))}; exec sleep 60")
    with pytest.raises(EnginesError, match="PBS did not answer qstat within 1 s"):
        run_tool(["qstat"], "PBS", time_limit_s=1)
    assert not os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}")


def test_a_tool_that_may_not_be_run(tools, tmp_path):
    tools(qstat="true")
    (tmp_path / "bin/qstat").chmod(0o644)
    with pytest.raises(NotAvailableError, match="qstat"):
        run_tool([str(tmp_path / "bin/qstat")], "PBS")


def test_answers_are_read_in_english(tools, monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    tools(qstat='printf "%s \\377" "$LC_ALL"; exit 3')
    answer = run_tool(["qstat"], "PBS")
    assert answer.output.startswith("C ") and answer.status == 3


def test_a_script_in_no_folder(tools, tmp_path):
    tools(qsub="echo 5")
    with pytest.raises(UsageError, match="no folder"):
        find_scheduler("sge").submit(tmp_path / "none" / "job.sh")


def test_kinds():
    assert [find_scheduler(kind).name for kind in BATCH_KINDS] == list(BATCH_KINDS)
    with pytest.raises(UsageError, match="'ssh' has no scheduler.*slurm, pbs, lsf, sge"):
        find_scheduler("ssh")
    with pytest.raises(ValueError):
        JobState("finished")


# -- PBS ------------------------------------------------------------------------------------------

QSTAT = """Job Id: 1234.pbs01
    Job_Name = lesson
    Job_Owner = me@login1
    job_state = {state}
    queue = workq
    exec_host = {hosts}
    Resource_List.walltime = 00:10:00
    Resource_List.select = 2:ncpus=4:mpiprocs=4
    {more}
    Variable_List = PBS_O_HOME=/home/me,job_state = Q,
\tPBS_O_LANG=C

"""


def qstat(state, hosts="n1/0*4+n2/0*4", **more):
    lines = "\n    ".join(f"{key.replace('__', '.')} = {value}" for key, value in more.items())
    return QSTAT.format(state=state, hosts=hosts, more=lines or "Rerunable = False")


LONG = "Not Running: Insufficient amount of resource:\n\t ncpus (R: 8 A: 4 T: 4)"


@pytest.mark.parametrize(
    "text,torque,word,exit,part",
    [
        (qstat("R"), False, "running", "", ""),
        (qstat("Q", comment=LONG), False, "queued", "", "until enough of what it asks for is free"),
        (qstat("Q", comment="Can Never Run: Insufficient amount of resource: ncpus"), False, "queued", "", "never"),
        (qstat("Q"), False, "queued", "", "not looked at it yet"),
        (qstat("Q", comment="Not Running: Wrong phase of the moon"), False, "queued", "", "Wrong phase of the moon"),
        (qstat("H"), False, "queued", "", "qrls"),
        (qstat("S"), False, "running", "", "suspended"),
        (qstat("F", Exit_status=0), False, "ended", "exit status 0", "came to its end"),
        (qstat("F", Exit_status=3), False, "ended", "exit status 3", "failed (exit status 3)"),
        (
            qstat("F", Exit_status=271, resources_used__walltime="00:10:07"),
            False,
            "ended",
            "signal 15 (SIGTERM)",
            "limit of 00:10:00 passed",
        ),
        (
            qstat("F", Exit_status=271, resources_used__walltime="00:02:00"),
            False,
            "ended",
            "signal 15 (SIGTERM)",
            "cancelled",
        ),
        (qstat("F", Exit_status=-29), False, "ended", "exit status -29", "time limit passed"),
        (qstat("F", Exit_status=-27), False, "ended", "exit status -27", "--memory"),
        (qstat("C", exit_status=-11), True, "ended", "exit status -11", "time limit passed"),
        (qstat("C", exit_status=-11), False, "ended", "exit status -11", "could not run it"),
        (qstat("F"), False, "ended", "", "ended before it ran"),
        (qstat("E"), False, "ended", "", "is ending"),
    ],
)
def test_pbs_states(text, torque, word, exit, part):
    state = pbs.parse_job(text, torque)
    assert (state.word, state.exit, state.nodes) == (word, exit, ("n1", "n2"))
    assert part in state.reason and bool(part) == bool(state.reason)


def test_pbs_nodes_of_torque():
    assert pbs.parse_job(qstat("R", hosts="n2/1+n2/0+n1/0"), True).nodes == ("n2", "n1")
    # qstat breaks long lines
    assert pbs.parse_job(qstat("R", hosts="n2/1+n2/0+n\n\t1/0+n3/0")).nodes == ("n2", "n1", "n3")


def test_pbs_asks_for_ended_jobs_too(tools):
    tools(qstat=f'[ "$*" = "-x -f 1" ] || exit 9; {says(qstat("R"))}')
    assert Pbs(torque=False).state("1").word == "running"
    tools(qstat=f'[ "$*" = "-f 1" ] || exit 9; {says(qstat("R"))}')
    assert Pbs(torque=True).state("1").word == "running"
    history = "qstat: PBS is not configured to maintain job history"
    tools(qstat=f'case "$*" in *-x*) echo "{history}" >&2; exit 1;; *) {says(qstat("R"))};; esac')
    assert Pbs(torque=False).state("1").word == "running"


def test_pbs_forgets_and_cancels(tools):
    scheduler = Pbs(torque=False)
    tools(qstat=says("qstat: Unknown Job Id 1.pbs01\n", 153, 2), qdel=says("qdel: Job has finished 1.pbs01\n", 35, 2))
    assert scheduler.state("1").word == "unknown"
    scheduler.cancel("1")
    tools(qstat=says("Connection refused\nqstat: cannot connect to server pbs01 (errno=111)\n", 111, 2))
    with pytest.raises(EnginesError, match="cannot connect to server pbs01.* -- the server of PBS does not answer"):
        scheduler.state("1")


def test_pbs_of_which_kind(tools):
    tools(qsub='[ "$1" = --version ] && echo "pbs_version = 20.0.1"')
    assert not Pbs().torque
    tools(qsub='[ "$1" = --version ] && { echo "Version: 6.1.2"; echo "Commit: 5f7c"; } >&2')
    assert Pbs().torque
    options = ClusterOptions("pbs", num_ranks=7, num_nodes=2, gpus=1, memory="4G", name="a-name-of-20-letters")
    assert Pbs().directives(options)[:3] == [
        "#PBS -N a-name-of-20-le",
        "#PBS -l nodes=1:ppn=4:gpus=1+1:ppn=3:gpus=1",
        "#PBS -l mem=8gb",
    ]


def test_pbs_directives():
    scheduler = Pbs(torque=False)
    options = ClusterOptions(
        "pbs", num_ranks=7, num_nodes=2, gpus=1, memory="4G", time=90, partition="q", account="a", directives=("-m n",)
    )
    chunks = "1:ncpus=4:mpiprocs=4:ngpus=1:mem=4gb+1:ncpus=3:mpiprocs=3:ngpus=1:mem=4gb"
    assert scheduler.directives(options, "/a b/o.log") == [
        "#PBS -N pbs",
        f"#PBS -l select={chunks}",
        "#PBS -l place=scatter",
        "#PBS -l walltime=01:30:00",
        "#PBS -q q",
        "#PBS -A a",
        "#PBS -j oe",
        "#PBS -o '/a b/o.log'",
        "#PBS -r n",
        "#PBS -m n",
    ]
    same = ClusterOptions("pbs", num_nodes=3, ranks_per_node=4)
    assert "#PBS -l select=3:ncpus=4:mpiprocs=4" in scheduler.directives(same)
    assert "#PBS -l select=5:ncpus=1:mpiprocs=1" in scheduler.directives(ClusterOptions("pbs", num_ranks=5))
    own = ClusterOptions("pbs", num_ranks=4, directives=("-l select=1:ncpus=4:model=x",))
    assert sum("select=" in line for line in scheduler.directives(own)) == 1
    with pytest.raises(UsageError, match="--gpus 1 counts for a node.*--nodes 1"):
        scheduler.directives(ClusterOptions("pbs", gpus=1))
    with pytest.raises(UsageError, match="'/a:b': : cannot be written"):
        scheduler.directives(same, "/a:b")


@pytest.mark.parametrize(
    "kind,text,job_id",
    [
        ("pbs", "1234.pbs01.site\n", "1234.pbs01.site"),
        ("pbs", "1234\n", "1234"),
        ("lsf", "Job <5> is submitted to default queue <normal>.\n", "5"),
        ("sge", "5\n", "5"),
        ("sge", 'Your job 5 ("lesson") has been submitted\n', "5"),
    ],
)
def test_job_ids(kind, text, job_id):
    assert find_scheduler(kind).parse_job_id(text) == job_id
    with pytest.raises(EnginesError, match="told no job id"):
        find_scheduler(kind).parse_job_id("hello 7 times")
