"""Slurm: sbatch, srun, squeue, scontrol, sacct, scancel."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers.nodes import expand_nodes
from labkit.cluster.schedulers.scheduler import JobState, QueuePosition, Scheduler, exit_words, quoted
from labkit.cluster.schedulers.slurm_words import REFUSALS, why_ended, why_waiting
from labkit.errors import EnginesError

_WORDS = {
    "PENDING": "queued",
    "REQUEUED": "queued",
    "REQUEUE_HOLD": "queued",
    "REQUEUE_FED": "queued",
    "RESV_DEL_HOLD": "queued",
    "SPECIAL_EXIT": "queued",
    "CONFIGURING": "starting",
    "POWER_UP_NODE": "starting",
    "RUNNING": "running",
    "RESIZING": "running",
    "SIGNALING": "running",
    "STAGE_OUT": "running",
    "SUSPENDED": "running",
    "STOPPED": "running",
    "COMPLETING": "ended",
    "COMPLETED": "ended",
    "CANCELLED": "ended",
    "FAILED": "ended",
    "TIMEOUT": "ended",
    "NODE_FAIL": "ended",
    "PREEMPTED": "ended",
    "OUT_OF_MEMORY": "ended",
    "BOOT_FAIL": "ended",
    "DEADLINE": "ended",
    "REVOKED": "ended",
    "LAUNCH_FAILED": "ended",
    "RECONFIG_FAIL": "ended",
}
_FORGOTTEN = "Invalid job id"
_ENDED = ("already completing or completed", _FORGOTTEN)


class Slurm(Scheduler):
    """Slurm, 20.11 or newer."""

    name = "slurm"
    title = "Slurm"
    submit_command = ("sbatch", "--parsable")
    prefix = "#SBATCH"

    def directives(self, options: ClusterOptions, output: str | None = None) -> list[str]:
        words = [f"--job-name={options.name}", f"--ntasks={options.num_ranks}"]
        if options.num_nodes is not None:
            words.append(f"--nodes={options.num_nodes}")
            words.append(f"--ntasks-per-node={max(options.ranks_by_node())}")
        if options.time is not None:
            words.append(f"--time={options.time}")
        if options.partition is not None:
            words.append(f"--partition={options.partition}")
        if options.account is not None:
            words.append(f"--account={options.account}")
        if options.gpus:
            words.append(f"--gpus-per-node={options.gpus}")
        if options.memory is not None:
            words.append(f"--mem={options.memory}")
        if output is not None:
            words.append(f"--output={quoted(output.replace('%', '%%'), '--folder', forbidden=chr(92))}")
        # Started again from the beginning, a job would be a cluster that nobody waits for any more.
        words.append("--no-requeue")
        return self.directive_lines(words, options)

    def launch(self, options: ClusterOptions, command: Sequence[str]) -> str:
        """``srun``, which ends the other ranks when one ends badly; or ``mpiexec`` if it was asked for."""
        if options.mpi == "mpiexec":
            return super().launch(options, command)
        words = ["srun", *([] if options.mpi == "none" else [f"--mpi={options.mpi}"])]
        words += ["--kill-on-bad-exit=1", f"--ntasks={options.num_ranks}"]
        if options.num_nodes is not None:
            words += [f"--nodes={options.num_nodes}", f"--ntasks-per-node={max(options.ranks_by_node())}"]
        return shlex.join([*words, *command])

    def parse_job_id(self, text: str) -> str:
        match = re.search(r"^(?:Submitted batch job )?(\d+)(?:;\S+| on cluster \S+)?\s*$", text, re.M)
        if match is None:
            raise EnginesError(f"sbatch told no job id, but {text.strip()[:200]!r}. See squeue --me for the job.")
        return match[1]

    # -- a job ----------------------------------------------------------------------------------

    def state(self, job_id: str) -> JobState:
        answer = self.ask(["scontrol", "--oneliner", "show", "job", job_id])
        if answer.status == 0 and "JobState=" in answer.output:
            return parse_job(answer.output)
        if _FORGOTTEN not in answer.words:
            raise self.refused("scontrol", answer)
        # Slurm's controller forgets a job some minutes after its end; the accounting remembers.
        query = ["sacct", "--allocations", "--noheader", "--parsable2", "--jobs", job_id]
        answer = self.ask([*query, "--format=State,ExitCode,NodeList"])
        if answer.status == 0 and answer.output.strip():
            return parse_accounting(answer.output)
        return JobState("unknown", "Slurm does not know this job, or no longer.", "Invalid job id specified")

    def cancel(self, job_id: str) -> None:
        answer = self.ask(["scancel", job_id])
        if answer.status and not any(words in answer.words for words in _ENDED):
            raise self.refused("scancel", answer)

    def position(self, job_id: str) -> QueuePosition | None:
        """Its place among the waiting jobs of its partition, by priority, as far as Slurm shows them."""
        answer = self.ask(["squeue", "--noheader", "--states=PENDING", "--format=%P", "--jobs", job_id])
        partition = answer.output.strip()
        if answer.status or not partition:
            return None
        queue = ["squeue", "--noheader", "--states=PENDING", "--sort=-p,i", "--format=%i"]
        answer = self.ask([*queue, "--partition", partition])
        waiting = answer.output.split()
        if answer.status or job_id not in waiting:
            return None
        return QueuePosition(waiting.index(job_id) + 1, len(waiting), partition)

    def some_nodes(self) -> list[str]:
        answer = self.ask(["sinfo", "--noheader", "--Node", "--format=%o"])
        return answer.output.split()[:4] if answer.status == 0 else []

    def bad_nodes(self, nodes: Sequence[str]) -> dict[str, str]:
        answer = self.ask(["sinfo", "--noheader", "--Node", "--nodes", ",".join(nodes), "--format=%N %T"])
        states = dict(line.split() for line in answer.output.splitlines() if len(line.split()) == 2)
        # A star says that the node does not answer; Slurm calls it down some time later.
        return {node: state for node, state in states.items() if state.endswith("*") or state.startswith(("down", "fail"))}

    def explain_refusal(self, text: str) -> str:
        return next((means for words, means in REFUSALS.items() if words.lower() in text.lower()), "")


def parse_job(text: str) -> JobState:
    """The state in what ``scontrol --oneliner show job`` printed.

    Examples
    --------
    >>> parse_job("JobId=5 JobName=a JobState=RUNNING Reason=None ExitCode=0:0 NodeList=n[1-2]").nodes
    ('n1', 'n2')
    """
    facts: dict[str, str] = {}
    for match in re.finditer(r"(?:^|\s)(\w[\w/:]*)=(\S*)", text.strip().splitlines()[0]):
        facts.setdefault(match[1], match[2])  # the first: what comes last are the user's own texts
    native, reason = facts.get("JobState", ""), facts.get("Reason", "None").replace("_", " ")
    word = _WORDS.get(native, "unknown")
    words = why_ended(native, facts, reason) if word == "ended" else why_waiting(native, reason)
    if word in ("queued", "starting") and facts.get("Restarts", "0") not in ("", "0"):
        words = f"Slurm put the job back into the queue (restarts: {facts['Restarts']}). {words}"
    started = facts.get("StartTime", "Unknown")
    if native == "PENDING" and started not in ("Unknown", "N/A", ""):
        words = f"{words} Slurm expects to start it at {started.replace('T', ' ')}.".strip()
    return JobState(
        word,
        words,
        native if reason in ("None", "") else f"{native} ({reason})",
        _nodes(facts.get("NodeList", "")),
        _exit(native, facts.get("ExitCode", "")),
    )


def parse_accounting(text: str) -> JobState:
    """The state in what ``sacct --parsable2 --format=State,ExitCode,NodeList`` printed.

    Examples
    --------
    >>> parse_accounting("TIMEOUT|0:0|n1").word
    'ended'
    """
    native, code, nodes = (*text.strip().splitlines()[-1].split("|"), "", "")[:3]
    word = _WORDS.get(native.split()[0].rstrip("+") if native else "", "unknown")
    words = why_ended(native, {"ExitCode": code}, "None") if word == "ended" else why_waiting(native, "None")
    return JobState(word, words, native, _nodes(nodes), _exit(native, code))


def _nodes(text: str) -> tuple[str, ...]:
    try:
        return expand_nodes(text)
    except ValueError:
        return ()


def _exit(native: str, code: str) -> str:
    """``"3:0"`` is exit status 3, ``"0:9"`` signal 9; ``"0:0"`` also stands for none at all."""
    status, _, number = code.partition(":")
    if not (status.isdigit() and number.isdigit()) or (code == "0:0" and native != "COMPLETED"):
        return ""
    return exit_words(int(status), int(number))
