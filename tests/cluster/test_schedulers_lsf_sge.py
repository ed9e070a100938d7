"""LSF and SGE as they answer; texts in the forms of their manuals."""

import shlex

import pytest

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import find_scheduler, lsf, sge
from labkit.errors import EnginesError, UsageError


def says(text, status=0, stream=1):
    return f"printf '%s' {shlex.quote(text)} >&{stream}; exit {status}"


# -- LSF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,word,exit,nodes,part",
    [
        ("RUN|-|4*n1:4*n2|-|-\n", "running", "", ("n1", "n2"), ""),
        ("RUN|-|n1:n1:n2|-|-\n", "running", "", ("n1", "n2"), ""),
        ("PEND|-|-|-|New job is waiting for scheduling;\n", "queued", "", (), "not looked at it"),
        ("PEND|-|-|-|Job's requirements | odd: Not enough slots;\n", "queued", "", (), "enough cores are free"),
        ("PEND|-|-|-|The user has reached his/her job slot limit;\n", "queued", "", (), "running jobs as allowed"),
        ("PSUSP|-|-|-|-\n", "queued", "", (), "bresume"),
        ("PROV|-|n1|-|-\n", "starting", "", ("n1",), "prepared"),
        ("DONE|-|n1|-|-\n", "ended", "exit status 0", ("n1",), "came to its end"),
        ("EXIT|3|n1|-|-\n", "ended", "exit status 3", ("n1",), "failed (exit status 3)"),
        (
            "EXIT|137|n1|TERM_RUNLIMIT: job killed after reaching LSF run time limit|-\n",
            "ended",
            "exit status 137: signal 9 (SIGKILL)",
            ("n1",),
            "time limit passed",
        ),
        (
            "EXIT|130|n1|TERM_OWNER: job killed by owner|-\n",
            "ended",
            "exit status 130: signal 2 (SIGINT)",
            ("n1",),
            "cancelled by you",
        ),
        ("UNKWN|-|n1|-|-\n", "unknown", "", ("n1",), "lost contact"),
    ],
)
def test_lsf_states(text, word, exit, nodes, part):
    state = lsf.parse_job(text)
    assert (state.word, state.exit, state.nodes) == (word, exit, nodes)
    assert part in state.reason and bool(part) == bool(state.reason)


def test_lsf_submits_by_standard_input(tools, tmp_path):
    tools(bsub='cat >got.sh; [ $# = 0 ] && echo "Job <77> is submitted to queue <normal>."')
    (tmp_path / "job.sh").write_text("#!/bin/bash\n#BSUB -n 2\n")
    assert find_scheduler("lsf").submit(tmp_path / "job.sh") == "77"
    assert (tmp_path / "got.sh").read_text() == "#!/bin/bash\n#BSUB -n 2\n"
    tools(bsub=says("nix: No such queue. Job not submitted.\n", 255, 2))
    with pytest.raises(EnginesError, match="No such queue.* -- .*bqueues"):
        find_scheduler("lsf").submit(tmp_path / "job.sh")


def test_lsf_forgets_and_cancels(tools):
    tools(bjobs=says("Job <5> is not found\n", 255, 2), bkill=says("Job <5>: Job has already finished\n", 255, 2))
    assert find_scheduler("lsf").state("5").word == "unknown"
    find_scheduler("lsf").cancel("5")
    tools(bkill=says("Job <5>: User permission denied\n", 255, 2))
    with pytest.raises(EnginesError, match="User permission denied -- you may not"):
        find_scheduler("lsf").cancel("5")


def test_lsf_directives():
    options = ClusterOptions(
        "lsf", num_ranks=7, num_nodes=2, gpus=2, memory="4G", time="1:00:30", partition="q", account="a"
    )
    assert find_scheduler("lsf").directives(options, "/a b/o.log") == [
        "#BSUB -J lsf",
        "#BSUB -n 7",
        '#BSUB -R "span[ptile=4]"',
        "#BSUB -W 01:01",
        "#BSUB -q q",
        "#BSUB -P a",
        '#BSUB -gpu "num=2/host"',
        '#BSUB -R "rusage[mem=4GB/host]"',
        "#BSUB -o '/a b/o.log'",
        "#BSUB -rn",
    ]
    assert "#BSUB -o lsf-%J.out" in find_scheduler("lsf").directives(options)


# -- SGE ------------------------------------------------------------------------------------------

JOB_LIST = (
    '<job_list state="{kind}"><JB_job_number>{id}</JB_job_number><JB_name>a</JB_name>'
    "<state>{state}</state><queue_name>{queue}</queue_name><slots>1</slots></job_list>"
)


def qstat_xml(*jobs):
    lists = [JOB_LIST.format(kind="pending" if not q else "running", id=i, state=s, queue=q) for i, s, q in jobs]
    return f"<?xml version='1.0'?><job_info><queue_info>{''.join(lists)}</queue_info><job_info></job_info></job_info>"


@pytest.mark.parametrize(
    "state,word,part",
    [
        ("r", "running", ""),
        ("qw", "queued", "free slots"),
        ("hqw", "queued", "held"),
        ("Eqw", "queued", "in error"),
        ("t", "starting", "brought to its nodes"),
        ("dr", "running", "being ended"),
        ("S", "running", "suspended"),
    ],
)
def test_sge_states(state, word, part):
    text = qstat_xml(("4", "r", "all.q@n9"), ("5", state, "all.q@n1.site"), ("5", state, "all.q@n2.site"))
    found = sge.parse_jobs(text)["5"]
    assert found.word == word and part in found.reason and bool(part) == bool(found.reason)
    assert found.nodes == (() if word == "queued" else ("n1.site", "n2.site"))


def test_sge_asks_for_every_task_of_its_own_jobs(tools):
    """Without -g t a job of several nodes shows the first one only."""
    tools(qstat=f'[ "$1 $2 $3 $4" = "-xml -g t -u" ] || exit 9; {says(qstat_xml(("5", "r", "all.q@n1")))}')
    assert find_scheduler("sge").state("5").nodes == ("n1",)


QACCT = "=====\nqname        all.q\nhostname     n1\njobnumber    5\nfailed       {failed}\nexit_status  {status}\n"


@pytest.mark.parametrize(
    "failed,status,exit,part",
    [
        ("0", "0", "exit status 0", "came to its end"),
        ("0", "3", "exit status 3", "failed (exit status 3)"),
        ("100 : assumedly after job", "137 (Killed)", "exit status 137: signal 9 (SIGKILL)", "cancelled"),
        ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "137", "exit status 137: signal 9 (SIGKILL)", "--time"),
        ("1   : assumedly before job", "0", "exit status 0", "could not run it: assumedly before job"),
    ],
)
def test_sge_accounting(tools, failed, status, exit, part):
    tools(qstat=says(qstat_xml()), qacct=says(QACCT.format(failed=failed, status=status)))
    state = find_scheduler("sge").state("5")
    assert (state.word, state.exit, state.nodes) == ("ended", exit, ("n1",))
    assert part in state.reason


def test_sge_forgets_cancels_and_counts(tools):
    table = "job-ID  prior\n-------\n      7 0.9 a\n      5 0.5 b\n"
    tools(
        qstat=f'case "$*" in *xml*) {says(qstat_xml())};; *) {says(table)};; esac',
        qacct=says("error: job id 5 not found\n", 1, 2),
        qdel=says('denied: job "5" does not exist\n', 1),
    )
    scheduler = find_scheduler("sge")
    assert scheduler.state("5").word == "unknown"
    scheduler.cancel("5")
    assert scheduler.position("5")[:2] == (2, 2) and scheduler.position("6") is None
    tools(qstat="echo broken")
    with pytest.raises(EnginesError, match="printed no XML"):
        scheduler.state("5")


def test_sge_directives():
    scheduler = find_scheduler("sge")
    options = ClusterOptions("sge", num_ranks=7, time=90, partition="q", account="a")
    assert scheduler.directives(options, "/a b/o.log") == [
        "#$ -N sge",
        "#$ -S /bin/bash",
        "#$ -pe mpi 7",
        "#$ -l h_rt=01:30:00",
        "#$ -q q",
        "#$ -P a",
        "#$ -cwd",
        "#$ -j y",
        "#$ -o '/a b/o.log'",
        "#$ -r n",
    ]
    for wrong, words in (({"num_nodes": 2}, "parallel environment"), ({"gpus": 1}, "slot"), ({"memory": "4G"}, "slot")):
        with pytest.raises(UsageError, match=words):
            scheduler.directives(ClusterOptions("sge", **wrong))
    own = ClusterOptions("sge", num_nodes=2, ranks_per_node=4, directives=("-pe orte4 8",))
    assert [line for line in scheduler.directives(own) if "-pe" in line] == ["#$ -pe orte4 8"]
