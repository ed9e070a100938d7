"""Looking at this machine and asking its scheduler, without a job of its own."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from labkit.cluster.address import address_for
from labkit.cluster.doctor.evidence import NEEDED, Answer, Partition
from labkit.cluster.doctor.probe import interface_of, versions_of
from labkit.cluster.options import ClusterOptions
from labkit.errors import LabkitError, UsageError

ASK_TIMEOUT_S = 20.0
#: What is called of each scheduler.
COMMANDS = {
    "slurm": ("sbatch", "scontrol", "scancel", "srun"),
    "pbs": ("qsub", "qstat", "qdel"),
    "lsf": ("bsub", "bjobs", "bkill"),
    "sge": ("qsub", "qstat", "qdel"),
    "ssh": ("ssh", "mpiexec"),
    "local": ("mpiexec",),
}
VERSION = {"slurm": ["sbatch", "--version"], "pbs": ["qsub", "--version"], "lsf": ["lsid", "-V"], "ssh": ["ssh", "-V"]}
UNUSABLE = ("down", "drain", "drng", "fail", "maint", "unk", "boot", "inval", "no_respond", "power")


def ask(words: list[str], text: str | None = None, timeout_s: float = ASK_TIMEOUT_S) -> Answer:
    """Run a command; never raises."""
    command = " ".join(words)
    try:
        done = subprocess.run(
            words,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except OSError as error:
        return Answer(command, None, str(error))
    except subprocess.TimeoutExpired:
        return Answer(command, None, f"no answer for {timeout_s:g} s")
    return Answer(command, done.returncode, done.stdout)


def find_commands(kind: str) -> dict[str, str]:
    """Paths of what is called; "" for what is not there."""
    from labkit.hardware.messages import find_mpiexec

    found = {name: shutil.which(name) or "" for name in COMMANDS[kind]}
    if "mpiexec" in found:
        try:
            found["mpiexec"] = find_mpiexec()
        except LabkitError:
            found["mpiexec"] = ""
    return found


def version_of_scheduler(kind: str) -> str:
    """As it says itself; "" if it does not."""
    answer = ask(VERSION[kind]) if kind in VERSION else None
    return answer.text.strip().splitlines()[0] if answer is not None and answer.ok and answer.text.strip() else ""


def versions_here() -> dict[str, str]:
    """Of the packages that both sides need."""
    return {"python": platform.python_version(), **versions_of(["mpi4py", *NEEDED])}


def try_authentication() -> Answer | None:
    """Whether munge makes a credential that it accepts; None if its tools are not here."""
    if shutil.which("munge") is None or shutil.which("unmunge") is None:
        return None
    made = ask(["munge", "-n"])
    return (
        made
        if not made.ok
        else Answer("munge -n | unmunge", *_code_and_text(ask(["unmunge", "--metadata=/dev/stdout"], made.text)))
    )


def _code_and_text(answer: Answer) -> tuple[int | None, str]:
    return answer.code, answer.text


def ping_controller() -> Answer:
    """``scontrol ping``, whose exit status does not always say that the controller is down."""
    answer = ask(["scontrol", "ping"])
    return answer if not answer.ok or re.search(r"is UP", answer.text) else Answer(answer.command, 1, answer.text)


def slurm_partitions() -> tuple[Partition, ...]:
    """The partitions that this user sees; () if Slurm does not say."""
    answer = ask(["sinfo", "--noheader", "--format=%P|%a|%l|%L|%D|%T|%E"])
    return parse_partitions(answer.text) if answer.ok else ()


def parse_partitions(text: str) -> tuple[Partition, ...]:
    """Partitions in what ``sinfo --format=%P|%a|%l|%L|%D|%T|%E`` printed.

    Examples
    --------
    >>> found = parse_partitions("debug*|up|1:00:00|10:00|2|idle|none\\ndebug*|up|1:00:00|10:00|1|down*|fan\\n")
    >>> found[0].name, found[0].max_time_s, found[0].num_nodes, found[0].num_usable, found[0].reasons
    ('debug', 3600, 3, 2, 'fan')
    """
    rows: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        words = line.split("|", 6)
        if len(words) == 7:
            rows.setdefault(words[0], []).append(words)
    found = []
    for name, lines in rows.items():
        bad = [words for words in lines if words[5].lower().startswith(UNUSABLE) or words[5].endswith("*")]
        reasons = dict.fromkeys(words[6].strip() for words in bad if words[6].strip().lower() not in ("none", ""))
        num_nodes = sum(int(words[4]) for words in lines)
        found.append(
            Partition(
                name=name.rstrip("*"),
                is_default=name.endswith("*"),
                is_up=lines[0][1] == "up",
                max_time_s=seconds(lines[0][2]),
                default_time_s=seconds(lines[0][3]),
                num_nodes=num_nodes,
                num_usable=num_nodes - sum(int(words[4]) for words in bad),
                reasons=", ".join(reasons),
            )
        )
    return tuple(found)


def seconds(text: str) -> int | None:
    """Slurm's times, ``[DAYS-]HOURS:MINUTES:SECONDS``, in seconds; None for no limit or none given."""
    days, dash, clock = text.rpartition("-")
    try:
        parts = [int(part) for part in clock.split(":")]
    except ValueError:  # infinite, n/a
        return None
    total = 0
    for part in parts:
        total = total * 60 + part
    return total + 86400 * int(days) if dash else total


def try_submission(script: Path) -> Answer:
    """``sbatch --test-only``: whether Slurm would take the job."""
    return ask(["sbatch", "--test-only", str(script)])


def find_address(options: ClusterOptions, nodes: tuple[str, ...] = ()) -> tuple[str, str]:
    """(The address that the controller would listen at, ""), or ("", what is wrong)."""
    if options.address:
        return options.address, ""
    if options.kind == "local":
        return "127.0.0.1", ""
    try:
        return address_for(options.hosts or nodes), ""
    except UsageError as error:
        return "", str(error)


def make_folder(options: ClusterOptions) -> Path:
    """A private folder where the engines would have theirs.

    Raises
    ------
    OSError
        It cannot be made.
    """
    if not options.is_batch:
        return Path(tempfile.mkdtemp(prefix="labkit-doctor-"))
    parent = Path(options.folder).expanduser() if options.folder else Path.home() / ".labkit" / "clusters"
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(prefix="doctor-", dir=parent))


def try_host(host: str) -> Answer:
    """Whether a host lets this user in without a password."""
    from labkit.cluster.engines.ssh_check import OPTIONS

    return ask(["ssh", *OPTIONS, host, "true"], timeout_s=30.0)


__all__ = [
    "ask",
    "find_address",
    "find_commands",
    "interface_of",
    "make_folder",
    "parse_partitions",
    "ping_controller",
    "seconds",
    "slurm_partitions",
    "try_authentication",
    "try_host",
    "try_submission",
    "version_of_scheduler",
    "versions_here",
]
