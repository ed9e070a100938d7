"""LSF: bsub, bjobs, bkill."""

from __future__ import annotations

import re

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers.nodes import unique
from labkit.cluster.schedulers.scheduler import JobState, Scheduler, exit_words, quoted
from labkit.errors import EnginesError

_WORDS = {
    "PEND": "queued",
    "PSUSP": "queued",
    "WAIT": "queued",
    "PROV": "starting",
    "RUN": "running",
    "USUSP": "running",
    "SSUSP": "running",
    "DONE": "ended",
    "EXIT": "ended",
    "ZOMBI": "ended",
}
_STATES = {
    "PSUSP": "It is held. Release it with bresume and its id, or stop it.",
    "PROV": "Its nodes are being prepared.",
    "USUSP": "It is suspended by you or an administrator. bresume and its id lets it go on.",
    "SSUSP": "LSF has suspended it in favour of other jobs.",
    "DONE": "Its script came to its end.",
    "ZOMBI": "Its node cannot be reached any more.",
    "UNKWN": "LSF has lost contact with its node.",
}
_TERMINATIONS = {
    "TERM_RUNLIMIT": "Its time limit passed. Ask for more with --time.",
    "TERM_MEMLIMIT": "It used more memory than it may. Ask for more with --memory.",
    "TERM_SWAP": "It used more memory than it may. Ask for more with --memory.",
    "TERM_CPULIMIT": "Its limit of processor time passed. Ask for more with --time.",
    "TERM_DEADLINE": "Its deadline passed.",
    "TERM_OWNER": "It was cancelled by you (bkill).",
    "TERM_FORCE_OWNER": "It was cancelled by you (bkill).",
    "TERM_ADMIN": "It was cancelled by an administrator.",
    "TERM_FORCE_ADMIN": "It was cancelled by an administrator.",
    "TERM_PREEMPT": "LSF took its nodes for a job of higher priority. Start it again.",
    "TERM_LOAD": "Its nodes had too much load. Start it again.",
    "TERM_RC_RECLAIM": "Its nodes were taken back. Start it again.",
    "TERM_PROCESSLIMIT": "It had more processes than allowed.",
    "TERM_THREADLIMIT": "It had more threads than allowed.",
    "TERM_EXTERNAL_SIGNAL": "A signal from outside LSF ended it.",
}
_PENDING = {
    "not enough job slots": "It waits until enough cores are free. Nothing to do; fewer ranks may start sooner.",
    "not enough slots": "It waits until enough cores are free. Nothing to do; fewer ranks may start sooner.",
    "not enough processors": "It waits until enough cores are free. Nothing to do; fewer ranks may start sooner.",
    "new job is waiting for scheduling": "LSF has not looked at it yet.",
    "job slot limit": "You, your group or the queue have as many running jobs as allowed. It starts when some end.",
    "limit": "A limit of you, your group or the queue is reached. It starts when other jobs end.",
    "resource requirements not satisfied": "No free node has what it asks for. If it stays so, ask for less a node.",
    "requirements for reserving resource": "It waits until enough memory or GPUs are free.",
    "dependency": "It waits for another job.",
    "closed": "Nodes are closed by the administrators or full. bhosts shows them.",
    "inactivated": "The queue is closed at the moment. Give another one as --partition (bqueues lists them).",
}
_REFUSALS = {
    "no such queue": "there is no such queue. List them with bqueues and give one as --partition.",
    "user cannot use the queue": "this queue is not for you. Give another one as --partition (bqueues -u $USER).",
    "project": "the account is not a project of yours. Give one as --account.",
    "runlimit": "the time limit is longer than the queue allows. See bqueues -l, and give a shorter --time.",
    "bad resource requirement": "LSF does not know a resource. Correct --memory, --gpus or the --directive.",
    "too many processors": "the queue gives a job fewer cores. Give fewer ranks (bqueues -l).",
    "procslimit": "the queue gives a job fewer cores. Give fewer ranks (bqueues -l).",
    "pending job threshold": "you have as many waiting jobs as allowed. Stop one (bjobs -p).",
    "lsf is down": "LSF does not answer. Wait a minute, then ask the administrators.",
    "failed in lsf library call": "this machine cannot talk to LSF. Work on a login node.",
    "cannot connect": "LSF does not answer, or this machine cannot reach it. Work on a login node.",
    "user permission denied": "you may not do this with that job.",
}
_GONE = ("already finished", "no matching job found", "is not found")
_FORMAT = "stat exit_code exec_host exit_reason pend_reason delimiter='|'"


class Lsf(Scheduler):
    """IBM Spectrum LSF, 10.1 or newer."""

    name = "lsf"
    title = "LSF"
    submit_command = ("bsub",)
    script_on_stdin = True  # bsub reads directives only of a script on its standard input
    prefix = "#BSUB"

    def directives(self, options: ClusterOptions, output: str | None = None) -> list[str]:
        words = [f"-J {options.name}", f"-n {options.num_ranks}"]
        if options.num_nodes is not None:
            words.append(f'-R "span[ptile={max(options.ranks_by_node())}]"')
        if options.time is not None:  # hours and minutes: a started minute counts
            minutes = -(-options.time_seconds // 60)
            words.append(f"-W {minutes // 60:02}:{minutes % 60:02}")
        if options.partition is not None:
            words.append(f"-q {options.partition}")
        if options.account is not None:
            words.append(f"-P {options.account}")
        if options.gpus:
            words.append(f'-gpu "num={options.gpus}/host"')
        if options.memory is not None:
            words.append(f'-R "rusage[mem={options.memory}B/host]"')
        # without a file LSF sends the output by mail
        file = f"{options.name}-%J.out" if output is None else quoted(output, "--folder", forbidden="%")
        words.append(f"-o {file}")
        words.append("-rn")  # not started again from the beginning
        return self.directive_lines(words, options)

    def parse_job_id(self, text: str) -> str:
        match = re.search(r"Job <(\d+)> is submitted", text)
        if match is None:
            raise EnginesError(f"bsub told no job id, but {text.strip()[:200]!r}. See bjobs for the job.")
        return match[1]

    def state(self, job_id: str) -> JobState:
        answer = self.ask(["bjobs", "-noheader", "-o", _FORMAT, job_id])
        if answer.output.count("|") >= 4:
            return parse_job(answer.output)
        if any(words in answer.words for words in _GONE):
            return JobState("unknown", "LSF does not know this job, or no longer.", answer.words)
        raise self.refused("bjobs", answer)

    def cancel(self, job_id: str) -> None:
        answer = self.ask(["bkill", job_id])
        if answer.status and not any(words in answer.words for words in _GONE):
            raise self.refused("bkill", answer)

    def explain_refusal(self, text: str) -> str:
        return next((means for words, means in _REFUSALS.items() if words in text.lower()), "")


def parse_job(text: str) -> JobState:
    """The state in what ``bjobs -noheader -o`` printed, see ``_FORMAT``.

    Examples
    --------
    >>> parse_job("RUN|-|4*n1:4*n2|-|-").nodes
    ('n1', 'n2')
    """
    stat, code, hosts, reason, pending = (part.strip() for part in text.strip().split("|", 4))
    word = _WORDS.get(stat, "unknown")
    nodes = unique(re.sub(r"^\d+\*", "", host) for host in hosts.split(":") if host not in ("", "-"))
    native = f"{stat} ({reason})" if reason not in ("", "-") else stat
    if stat == "PEND":
        return JobState(word, _why_waiting(pending), f"{stat} ({pending})", nodes)
    ended = ""
    if word == "ended" and (stat == "DONE" or code.isdigit()):
        status = int(code) if code.isdigit() else 0
        ended = exit_words(status)
    if stat == "EXIT":
        known = next((words for code, words in _TERMINATIONS.items() if reason.startswith(code)), "")
        return JobState(word, known or f"Its script failed ({ended or reason}). See its output.", native, nodes, ended)
    return JobState(word, _STATES.get(stat, ""), native, nodes, ended)


def _why_waiting(pending: str) -> str:
    known = next((words for code, words in _PENDING.items() if code in pending.lower()), "")
    return known or (f"LSF says: {pending}" if pending not in ("", "-") else "LSF has not looked at it yet.")
