"""PBS: OpenPBS and PBS Pro (``select=``), and Torque (``nodes=:ppn=``), which share their commands' names."""

from __future__ import annotations

import re
from itertools import groupby

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers.nodes import unique
from labkit.cluster.schedulers.scheduler import JobState, Scheduler, exit_words, quoted
from labkit.errors import EnginesError, LabkitError, UsageError

_WORDS = {
    "Q": "queued",
    "H": "queued",
    "W": "queued",
    "T": "queued",
    "M": "queued",
    "B": "running",
    "R": "running",
    "S": "running",
    "U": "running",
    "E": "ended",
    "F": "ended",
    "X": "ended",
    "C": "ended",  # Torque
}
_STATES = {
    "H": "It is held. Release it with qrls and its id, or stop it.",
    "W": "Its earliest time to begin has not come.",
    "T": "It is being moved to another server.",
    "S": "PBS has suspended it in favour of another job.",
    "U": "It is suspended because its machine is in use.",
    "E": "It is ending.",
}
_COMMENTS = {
    "can never run": "No node has what it asks for, so it will never start. Ask for less a node, or use another queue.",
    "insufficient amount of resource": "It waits until enough of what it asks for is free. Nothing to do; "
    "fewer ranks or --nodes may start sooner.",
    "not enough free nodes": "It waits until enough nodes are free. Nothing to do; fewer --nodes may start sooner.",
    "not enough total nodes": "There are not so many such nodes, so it will never start. Give fewer --nodes.",
    "running job limit": "You or your group have as many running jobs as allowed. It starts when one of them ends.",
    "limit": "A limit of you, your group or the queue is reached. It starts when other jobs end.",
    "dedicated time": "A maintenance is near, and its time limit reaches into it. Give a shorter --time.",
    "queue not started": "The queue is closed at the moment. Use another one (qstat -Q lists them).",
}
_FAILURES = {
    -29: "Its time limit passed. Ask for more with --time.",
    -28: "Its limit of processor time passed. Ask for more with --time.",
    -27: "It used more memory than it had asked for. Ask for more with --memory.",
    -26: "It used more virtual memory than it had asked for. Ask for more with --memory.",
}
_TORQUE_FAILURES = {
    -11: "Its time limit passed. Ask for more with --time.",
    -10: "It used more memory than it had asked for. Ask for more with --memory.",
}
_REFUSALS = {
    "unknown queue": "there is no such queue. List them with qstat -Q and give one as --partition.",
    "access to queue is denied": "this queue is not for you. Give another one as --partition (qstat -Q).",
    "unauthorized request": "you may not use this queue or account. Give another --partition or --account.",
    "invalid account": "the account is not valid. Give one of yours as --account.",
    "exceeds queue": "the job is larger or longer than the queue allows. See qstat -Qf, and ask for less.",
    "violates queue": "the job is larger or longer than the queue allows. See qstat -Qf, and ask for less.",
    "would exceed": "you have as many jobs as allowed. Stop one (qstat -u $USER).",
    "illegal attribute or resource value": "the server does not know a resource or its value. "
    "Correct --time, --memory, --gpus or the --directive.",
    "unknown resource": "the server does not know this resource (GPUs may have another name here). "
    "Use --directive for the name of this site.",
    "bad uid": "the server does not take jobs of this user from this machine. Work on a login node.",
    "cannot connect": "the server of PBS does not answer, or this machine cannot reach it. Try from a login node, "
    "then ask the administrators.",
    "connection refused": "the server of PBS does not answer. Ask the administrators.",
    "no permission": "you may not do this with that job.",
}
_GONE = ("unknown job", "job has finished", "request invalid for state of job", "invalid state")


class Pbs(Scheduler):
    """PBS; ``torque`` None: asked of ``qsub --version``."""

    name = "pbs"
    title = "PBS"
    submit_command = ("qsub",)
    prefix = "#PBS"

    def __init__(self, torque: bool | None = None):
        self._torque = torque

    @property
    def torque(self) -> bool:
        """Whether it is Torque; False where there is no qsub to ask."""
        if self._torque is None:
            try:
                answer = self.ask(["qsub", "--version"])
                self._torque = re.search(r"^\s*version:", answer.output + answer.errors, re.I | re.M) is not None
            except LabkitError:
                return False
        return self._torque

    def directives(self, options: ClusterOptions, output: str | None = None) -> list[str]:
        words = [f"-N {options.name[:15] if self.torque else options.name}"]
        if not any(re.match(r"-l\s*(select|nodes|procs)\b", text) for text in options.directives):
            words += _torque_nodes(options) if self.torque else _select(options)
        if options.time is not None:
            words.append(f"-l walltime={options.time}")
        if options.partition is not None:
            words.append(f"-q {options.partition}")
        if options.account is not None:
            words.append(f"-A {options.account}")
        words.append("-j oe")
        if output is not None:
            words.append(f"-o {quoted(output, '--folder', forbidden=':,')}")
        words.append("-r n")  # not started again from the beginning
        return self.directive_lines(words, options)

    def parse_job_id(self, text: str) -> str:
        match = re.search(r"^(\d+(?:\[\])?(?:\.[\w.-]+)?)\s*$", text, re.M)
        if match is None:
            raise EnginesError(f"qsub told no job id, but {text.strip()[:200]!r}. See qstat -u $USER for the job.")
        return match[1]

    def state(self, job_id: str) -> JobState:
        answer = self.ask(["qstat", "-f", job_id] if self.torque else ["qstat", "-x", "-f", job_id])
        if "job history" in answer.words and answer.status:  # -x, for jobs that have ended, is switched off here
            answer = self.ask(["qstat", "-f", job_id])
        if answer.status == 0 and "job_state" in answer.output:
            return parse_job(answer.output, self.torque)
        if any(words in answer.words.lower() for words in _GONE):
            return JobState("unknown", "PBS does not know this job, or no longer.", answer.words)
        raise self.refused("qstat", answer)

    def cancel(self, job_id: str) -> None:
        answer = self.ask(["qdel", job_id])
        if answer.status and not any(words in answer.words.lower() for words in _GONE):
            raise self.refused("qdel", answer)

    def explain_refusal(self, text: str) -> str:
        return next((means for words, means in _REFUSALS.items() if words in text.lower()), "")


def _select(options: ClusterOptions) -> list[str]:
    """The chunks of OpenPBS and PBS Pro: as many as nodes, each on its own."""
    ranks = options.ranks_by_node()
    if ranks is None:
        _check_nodes(options)
        return [f"-l select={options.num_ranks}:ncpus=1:mpiprocs=1"]
    more = (f":ngpus={options.gpus}" if options.gpus else "") + (
        f":mem={options.memory.lower()}b" if options.memory is not None else ""
    )
    chunks = [(len(list(same)), each) for each, same in groupby(ranks)]
    text = "+".join(f"{count}:ncpus={each}:mpiprocs={each}{more}" for count, each in chunks)
    return [f"-l select={text}", "-l place=scatter"]


def _torque_nodes(options: ClusterOptions) -> list[str]:
    ranks = options.ranks_by_node()
    if ranks is None:
        _check_nodes(options)
        return [f"-l procs={options.num_ranks}"]
    more = f":gpus={options.gpus}" if options.gpus else ""
    chunks = [(len(list(same)), each) for each, same in groupby(ranks)]
    words = ["-l nodes=" + "+".join(f"{count}:ppn={each}{more}" for count, each in chunks)]
    if options.memory is not None:  # Torque counts the memory of the whole job
        words.append(f"-l mem={int(options.memory[:-1]) * options.num_nodes}{options.memory[-1].lower()}b")
    return words


def _check_nodes(options: ClusterOptions) -> None:
    if options.gpus or options.memory is not None:
        option = f"--gpus {options.gpus}" if options.gpus else f"--memory {options.memory}"
        raise UsageError(f"{option} counts for a node, so PBS has to know how many nodes. Add --nodes, say --nodes 1.")


def parse_job(text: str, torque: bool = False) -> JobState:
    """The state in what ``qstat -f`` printed."""
    facts: dict[str, str] = {}
    for line in re.sub(r"\n\t", "", text).splitlines():
        match = re.match(r"    (\S+) = (.*)", line)
        if match is not None:
            facts.setdefault(match[1].lower(), match[2].strip())
    state, comment = facts.get("job_state", ""), facts.get("comment", "")
    word = _WORDS.get(state, "unknown")
    code = facts.get("exit_status", "")
    native = f"{state} ({comment})" if comment else state
    nodes = unique(part.split("/")[0] for part in facts.get("exec_host", "").split("+") if part)
    if word != "ended" or not re.fullmatch(r"-?\d+", code):
        return JobState(word, _STATES.get(state) or _why_waiting(word, comment), native, nodes)
    status = int(code)
    ended = exit_words(0, status % 256) if status >= 256 else exit_words(status)
    return JobState(word, _why_ended(status, facts, torque), native, nodes, ended)


def _why_waiting(word: str, comment: str) -> str:
    if word == "ended":
        return "It ended before it ran: it was cancelled or could not be started."
    if word != "queued":
        return ""
    known = next((words for code, words in _COMMENTS.items() if code in comment.lower()), "")
    return known or (f"PBS says: {comment}" if comment else "PBS has not looked at it yet.")


def _why_ended(status: int, facts: dict[str, str], torque: bool) -> str:
    failures = _TORQUE_FAILURES if torque else _FAILURES
    if status in failures:
        return failures[status]
    if status < 0:
        return f"PBS could not run it (code {status}). See its output, and tell the administrators."
    if status == 0:
        return "Its script came to its end."
    if status in (256 + 15, 256 + 9, 128 + 15, 128 + 9):
        used, limit = (_seconds(facts.get(f"{kind}.walltime", "")) for kind in ("resources_used", "resource_list"))
        if used is not None and limit is not None and used >= limit:
            return f"Its time limit of {facts['resource_list.walltime']} passed. Ask for more with --time."
        return "It was cancelled (qdel), or killed for a limit. See its output."
    ended = exit_words(0, status - 256) if status >= 256 else exit_words(status)
    return f"Its script failed ({ended}). See its output."


def _seconds(text: str) -> int | None:
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d)", text)
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
