"""What every scheduler can be asked, and how its commands are run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from labkit.cluster.options import ClusterOptions
from labkit.errors import EnginesError, NotAvailableError, UsageError

TIME_LIMIT_S = 30  # Slurm's tools try an unreachable controller for 9 seconds before they say so
WORDS = ("queued", "starting", "running", "ended", "unknown")

# Of a job or of MPI ranks around this process: a job that inherits them takes them for its own.
# What users and sites set as defaults for the tools (SBATCH_ACCOUNT, LSB_DEFAULTQUEUE) stays.
_FOREIGN = re.compile(
    r"(SLURM|PMI|PMI2|PMIX|OMPI|HYDI|HYDRA|LSB_DJOB|PBS_O)_\w+|MPI_LOCAL(RANKID|NRANKS)"
    r"|PBS_(JOBID|JOBNAME|NODEFILE|ENVIRONMENT|TASKNUM)|LSB_(JOBID|HOSTS|MCPU_HOSTS|JOBINDEX)"
)
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_MPI_TYPE", "SLURM_TIME_FORMAT", "SLURM_JWT")


@dataclass(frozen=True, slots=True)
class JobState:
    """What a scheduler says of a job.

    Attributes
    ----------
    word : str
        ``"queued"``, ``"starting"``, ``"running"``, ``"ended"`` or ``"unknown"``.
    reason : str
        Why it waits or why it ended, in plain words with what can be done; may be "".
    native : str
        The scheduler's own words, as ``"PENDING (Resources)"``.
    nodes : tuple of str
        Of a job that has them.
    exit : str
        ``"exit status 3"`` or ``"signal 9 (SIGKILL)"`` of the job's script; "" while there is none.
    """

    word: str
    reason: str = ""
    native: str = ""
    nodes: tuple[str, ...] = ()
    exit: str = ""

    def __post_init__(self):
        if self.word not in WORDS:
            raise ValueError(f"word {self.word!r} is not one of {', '.join(WORDS)}")


class QueuePosition(NamedTuple):
    """Where a waiting job stands: ``place`` 1 is next among ``waiting`` jobs of ``queue``."""

    place: int
    waiting: int
    queue: str


class Answer(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        """What it said on stderr, or on stdout where stderr is silent, as one line."""
        return " ".join((self.errors.strip() or self.output.strip()).split())


class Scheduler(ABC):
    """A batch system.

    Attributes
    ----------
    name : str
        The kind of :class:`~labkit.cluster.options.ClusterOptions`.
    submit_command : tuple of str
        The words of the submit command; the script is its last argument, or its standard input
        where ``script_on_stdin`` is true.
    prefix : str
        Begins a directive in a script.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    submit_command: ClassVar[tuple[str, ...]]
    script_on_stdin: ClassVar[bool] = False
    prefix: ClassVar[str]

    @abstractmethod
    def directives(self, options: ClusterOptions, output: str | None = None) -> list[str]:
        """The lines that a job script begins with; ``output`` is the file of all that it prints."""

    @abstractmethod
    def parse_job_id(self, text: str) -> str:
        """The job's id in what the submit command printed; EnginesError if there is none."""

    @abstractmethod
    def state(self, job_id: str) -> JobState:
        """Ask for the state of a job. A job the scheduler has forgotten is ``"unknown"``."""

    @abstractmethod
    def cancel(self, job_id: str) -> None:
        """End a job, whatever its state. A job that has ended already is no error."""

    def position(self, job_id: str) -> QueuePosition | None:
        """Where a waiting job stands; None where the scheduler does not tell."""
        return None

    def some_nodes(self) -> list[str]:
        """Names or addresses of some nodes, to find the network that leads there; [] if they are not known."""
        return []

    def bad_nodes(self, nodes: Sequence[str]) -> dict[str, str]:
        """Those of ``nodes`` that are down or do not answer, with the scheduler's word; {} where it does not tell."""
        return {}

    def explain_refusal(self, text: str) -> str:
        """What the scheduler's refusal means and what to do, in plain words; "" if it is not known."""
        return ""

    def launch(self, options: ClusterOptions, command: Sequence[str]) -> str:
        """The line of shell that starts ``command`` on every rank, quoted."""
        return shlex.join(["mpiexec", "-n", str(options.num_ranks), *command])

    def submit(self, script: str | os.PathLike) -> str:
        """Submit a job script from its own folder; return the job's id.

        Raises
        ------
        NotAvailableError
            The scheduler's tools are not on this machine.
        EnginesError
            The scheduler refused or did not answer; its words, what they mean, and what to do.
        """
        path = Path(script).absolute()
        words = [*self.submit_command] if self.script_on_stdin else [*self.submit_command, str(path)]
        text = path.read_text() if self.script_on_stdin else None
        answer = self.ask(words, stdin=text, folder=path.parent, environment=job_environment())
        if answer.status:
            raise self.refused(words[0], answer)
        return self.parse_job_id(answer.output)

    def ask(self, words: Sequence[str], **how) -> Answer:
        """Run one of the scheduler's commands, see :func:`run_tool`."""
        return run_tool(words, self.title, **how)

    def refused(self, command: str, answer: Answer) -> EnginesError:
        """The error for a command that was refused."""
        means = self.explain_refusal(answer.words) or (
            f"See the options of the job with --dry-run, and what {self.title} offers here."
        )
        said = answer.words or f"nothing, exit status {answer.status}"
        return EnginesError(f"{self.title} refused: {command} said: {said[-600:]} -- {means}")

    def directive_lines(self, words: Sequence[str], options: ClusterOptions) -> list[str]:
        """Directives as lines, those of the user last so that they win."""
        return [f"{self.prefix} {text}" for text in (*words, *options.directives)]


def run_tool(
    words: Sequence[str],
    title: str,
    *,
    stdin: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    time_limit_s: float = TIME_LIMIT_S,
) -> Answer:
    """Run a scheduler's command line tool; its exit status is for the caller to judge.

    Raises
    ------
    NotAvailableError
        There is no such command.
    EnginesError
        It did not answer within the time limit. It was ended.
    """
    environment = dict(os.environ if environment is None else environment)
    environment["LC_ALL"] = "C"  # the messages that are recognised are the English ones
    try:
        done = subprocess.run(
            list(words),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit_s,
            cwd=folder,
            env=environment,
        )
    except FileNotFoundError:
        if folder is not None and not folder.is_dir():
            raise UsageError(f"There is no folder {folder} to run {words[0]} in. Make it, or name another.") from None
        raise NotAvailableError(
            f"There is no command {words[0]} on this machine, so {title} cannot be asked. Work on a login node of the "
            f"cluster, or make {title}'s commands available there (often by: module load {title.lower()})."
        ) from None
    except PermissionError:
        raise NotAvailableError(
            f"The command {words[0]} may not be run by you. Ask the administrators for access to {title}."
        ) from None
    except subprocess.TimeoutExpired:
        raise EnginesError(
            f"{title} did not answer {words[0]} within {time_limit_s:g} s. It may be overloaded or being restarted: "
            f"try again in a minute, and tell the administrators if it stays so."
        ) from None
    return Answer(done.returncode, done.stdout, done.stderr)


def job_environment() -> dict[str, str]:
    """This process's environment without the variables of a job or of ranks that surround it."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or not _FOREIGN.fullmatch(name)}


def exit_words(status: int, signal_number: int = 0) -> str:
    """How a process ended; of an exit status above 128 also which signal a shell means by it.

    Examples
    --------
    >>> exit_words(3), exit_words(0, 9), exit_words(137)
    ('exit status 3', 'signal 9 (SIGKILL)', 'exit status 137: signal 9 (SIGKILL)')
    """
    if signal_number == 0 and not 128 < status <= 128 + 64:
        return f"exit status {status}"
    number = signal_number or status - 128
    try:
        words = f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        words = f"signal {number}"
    return words if signal_number else f"exit status {status}: {words}"


def quoted(text: str, option: str, forbidden: str = "") -> str:
    """A text for a directive, in quotes where it needs them.

    Schedulers split directives into words by rules like a shell's, but not all know its escapes:
    a text with both kinds of quotes is refused.
    """
    found = next((letter for letter in text if letter in forbidden), None)
    if found is None and not ("'" in text and ('"' in text or "\\" in text)):
        if re.fullmatch(r"[\w@%+=:,./~-]+", text, re.ASCII):
            return text
        return f'"{text}"' if "'" in text else f"'{text}'"
    raise UsageError(
        f"{option} {text!r}: {found or 'both kinds of quotes'} cannot be written in a directive of this scheduler. "
        f"Choose another name."
    )
