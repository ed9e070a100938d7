"""SGE: Sun, Univa, Altair and Son of Grid Engine: qsub, qstat, qacct, qdel."""

from __future__ import annotations

import re
from getpass import getuser
from xml.etree import ElementTree

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers.nodes import unique
from labkit.cluster.schedulers.scheduler import JobState, QueuePosition, Scheduler, exit_words, quoted
from labkit.errors import EnginesError, UsageError

PARALLEL_ENVIRONMENT = "mpi"  # what most sites call theirs
_REFUSALS = {
    "parallel environment": "there is no such parallel environment. List them with qconf -spl, "
    'and name one: --directive "-pe NAME RANKS".',
    "unknown queue": "there is no such queue. List them with qconf -sql and give one as --partition.",
    "queue": "the queue is not there or not for you. List them with qconf -sql and give one as --partition.",
    "project": "the account is not a project of yours. List them with qconf -sprjl and give one as --account.",
    "unknown resource": "this site has no such resource. List them with qconf -sc, and correct the --directive.",
    "not a submit host": "jobs cannot be submitted from this machine. Work on a login node.",
    "not an allowed": "jobs cannot be submitted from this machine. Work on a login node.",
    "unable to send message to qmaster": "the master of SGE does not answer. Wait a minute, "
    "then ask the administrators.",
    "commlib error": "the master of SGE does not answer, or this machine cannot reach it. Work on a login node.",
    "only allowed": "you have as many jobs as allowed. Stop one (qstat).",
}
_GONE = ("does not exist", "do not exist", "already in deletion")


class Sge(Scheduler):
    """Grid Engine."""

    name = "sge"
    title = "SGE"
    submit_command = ("qsub", "-terse")
    prefix = "#$"

    def directives(self, options: ClusterOptions, output: str | None = None) -> list[str]:
        words = [f"-N {options.name}", "-S /bin/bash"]  # SGE does not look at a script's first line
        if not any(re.match(r"-pe\s", text) for text in options.directives):
            if options.num_nodes is not None:
                raise UsageError(
                    f"--nodes {options.num_nodes}: with SGE the parallel environment decides how ranks are placed. "
                    f'List them with qconf -spl, and name one that fits: --directive "-pe NAME {options.num_ranks}".'
                )
            words.append(f"-pe {PARALLEL_ENVIRONMENT} {options.num_ranks}")
        for option, value, resource in (("gpus", options.gpus, "gpu=1"), ("memory", options.memory, "h_vmem=2G")):
            if value:
                raise UsageError(
                    f"--{option} {value}: SGE counts for each slot and not for a node, under a name that each site "
                    f'chooses. See qconf -sc, and write for example --directive "-l {resource}".'
                )
        if options.time is not None:
            words.append(f"-l h_rt={options.time}")
        if options.partition is not None:
            words.append(f"-q {options.partition}")
        if options.account is not None:
            words.append(f"-P {options.account}")
        words += ["-cwd", "-j y"]
        if output is not None:
            words.append(f"-o {quoted(output, '--folder', forbidden=':,$')}")
        words.append("-r n")  # not started again from the beginning
        return self.directive_lines(words, options)

    def parse_job_id(self, text: str) -> str:
        match = re.search(r"^(?:Your job )?(\d+)(?:\s*$| \()", text, re.M)
        if match is None:
            raise EnginesError(f"qsub told no job id, but {text.strip()[:200]!r}. See qstat for the job.")
        return match[1]

    def state(self, job_id: str) -> JobState:
        answer = self.ask(["qstat", "-xml", "-g", "t", "-u", getuser()])
        if answer.status:
            raise self.refused("qstat", answer)
        found = parse_jobs(answer.output).get(job_id)
        if found is not None:
            return found
        answer = self.ask(["qacct", "-j", job_id])
        if answer.status == 0 and "exit_status" in answer.output:
            return parse_accounting(answer.output)
        # between the end of a job and its entry in the accounting some seconds pass
        return JobState("unknown", "SGE does not list this job, and its accounting does not know it yet.", answer.words)

    def cancel(self, job_id: str) -> None:
        answer = self.ask(["qdel", job_id])
        if answer.status and not any(words in answer.words for words in _GONE):
            raise self.refused("qdel", answer)

    def position(self, job_id: str) -> QueuePosition | None:
        """Its place among all waiting jobs, which qstat lists by priority."""
        answer = self.ask(["qstat", "-s", "p", "-u", "*"])
        waiting = re.findall(r"^\s*(\d+)\s", answer.output, re.M)
        if answer.status or job_id not in waiting:
            return None
        return QueuePosition(waiting.index(job_id) + 1, len(waiting), "all queues")

    def explain_refusal(self, text: str) -> str:
        return next((means for words, means in _REFUSALS.items() if words in text.lower()), "")


def parse_jobs(text: str) -> dict[str, JobState]:
    """The states of all jobs in what ``qstat -xml -g t`` printed, by job id."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise EnginesError(f"qstat -xml printed no XML ({error}). Try again, or see qstat.") from None
    states: dict[str, str] = {}
    nodes: dict[str, list[str]] = {}
    for job in root.iter("job_list"):
        job_id = job.findtext("JB_job_number", "")
        states[job_id] = job.findtext("state", "")
        queue, at, node = job.findtext("queue_name", "").partition("@")
        nodes.setdefault(job_id, []).extend([node] if at else [])
    return {job_id: _state(state, unique(nodes[job_id])) for job_id, state in states.items()}


def _state(state: str, nodes: tuple[str, ...]) -> JobState:
    if "E" in state:
        reason = "It could not be started and is in error. See qstat -j and its id, then stop it."
        return JobState("queued", reason, state)
    if "d" in state:
        return JobState("running", "It is being ended.", state, nodes)
    if "h" in state:
        return JobState("queued", "It is held. Release it with qrls and its id, or stop it.", state)
    if "q" in state or "w" in state:
        return JobState("queued", "It waits for free slots. Nothing to do; fewer ranks may start sooner.", state)
    if set(state) & set("sST"):
        return JobState("running", "SGE has suspended it in favour of another job.", state, nodes)
    if "t" in state:
        return JobState("starting", "It is being brought to its nodes.", state, nodes)
    return JobState("running" if "r" in state else "unknown", "", state, nodes)


def parse_accounting(text: str) -> JobState:
    """The end of a job in what ``qacct -j`` printed; its last entry, if it ran more than once."""
    facts = dict(re.findall(r"^(\w+)\s+(.*?)\s*$", text, re.M))
    failed, _, why = facts.get("failed", "0").partition(":")
    failed, why = failed.strip(), why.strip()
    code = facts.get("exit_status", "").split(" ")[0]
    status = int(code) if code.isdigit() else 0
    ended = exit_words(status)
    nodes = unique(host for host in [facts.get("hostname", "")] if host not in ("", "unknown"))
    if failed == "37":
        reason = "It passed a limit of time or memory. Ask for more with --time."
    elif failed == "100" or (failed == "0" and status in (128 + 9, 128 + 15)):
        reason = "It was cancelled (qdel), or killed for a limit. See its output."
    elif failed != "0":
        reason = f"SGE could not run it: {why or failed}. See its output, and tell the administrators."
    elif status:
        reason = f"Its script failed ({ended}). See its output."
    else:
        reason = "Its script came to its end."
    return JobState("ended", reason, f"failed {failed}{f' ({why})' if why else ''}, exit_status {status}", nodes, ended)
