"""How a rank ended: notes that are left when its process dies, and what they say."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path

DEATH_NOTES = "LABKIT_DEATHS"  # names the folder of the notes, in the environment of an engine
ABORT_NOTE = ".abort"  # ends the name of the note of a rank that called MPI Abort

# Runs an engine and notes how it ended. mpiexec kills both together when another rank has died,
# so only the rank that died first leaves a note (mpiexec itself names the lowest rank instead).
# A note is named after its machine and process: ranks on several machines share the folder.
GUARD = '"$@"; code=$?; echo $code >"$LABKIT_DEATHS/$(uname -n)-$$"; exit $code'

# The same in a job, where the launcher tells all to end with SIGTERM when one has died. The guard stays until its
# engine has ended: Slurm would lose sight of an engine without a parent. What was told to end leaves no note.
JOB_GUARD = (
    'told=; trap told=1 TERM; "$@"; code=$?; '
    '[ -n "$told" ] || echo $code >"$LABKIT_DEATHS/$(uname -n)-$$"; exit $code'
)

# The same on a host that shares no folder: mpiexec carries what is printed to the notebook's machine. An engine
# catches its own standard error for its cells, so it gets the guard's under another number.
PRINTED_NOTE = "labkit-rank-ended"
PRINTED_TO = "/dev/fd/9"
PRINTING_GUARD = (
    f'exec 9>&2; {DEATH_NOTES}={PRINTED_TO} "$@"; code=$?; '
    f'echo "{PRINTED_NOTE} $(uname -n)-$$ $code" >&2; exit $code'
)


def note_name(host: str, guard_pid: int) -> str:
    """The name of the note of a rank's guard."""
    return f"{host}-{guard_pid}"


def read_death_notes(
    folder: Path, ranks: Mapping[tuple[str, int], int], out_of_memory: bool = False
) -> tuple[int | None, str]:
    """Which rank died first, and how in words; (None, ...) if no note says it.

    Parameters
    ----------
    folder : Path
        Of the notes: a file a rank, named after the machine and the process id of its guard.
    ranks : mapping of (str, int) to int
        Rank by machine and process id of the guard.
    out_of_memory : bool
        Whether Linux has ended processes for want of memory meanwhile.
    """
    names = {note_name(*guard): rank for guard, rank in ranks.items()}
    notes = sorted(
        folder.iterdir(), key=lambda note: (not note.name.endswith(ABORT_NOTE), note.stat().st_mtime_ns)
    )
    for note in notes:
        rank = names.get(note.name.removesuffix(ABORT_NOTE))
        text = note.read_text()
        if rank is None or not text.strip():
            continue
        if note.name.endswith(ABORT_NOTE):
            return rank, f"called MPI Abort({int(text)})"
        return rank, words_for_exit(int(text), out_of_memory)
    return None, "ended its process"


def leave_abort_note(host: str, guard_pid: int, code: int) -> None:
    """Note that a rank calls MPI Abort: in the folder of the notes, or printed where there is none."""
    name = note_name(host, guard_pid) + ABORT_NOTE
    folder = os.environ.get(DEATH_NOTES)
    if folder == PRINTED_TO:
        os.write(9, f"\n{PRINTED_NOTE} {name} {code}\n".encode())
    elif folder:
        Path(folder, name).write_text(str(code))


def keep_printed_notes(output: str, folder: Path) -> None:
    """Write the notes that a launcher's output contains into a folder, in the order they were printed."""
    for order, (name, code) in enumerate(re.findall(rf"{PRINTED_NOTE} ([\w.-]+) (\d+)", output)):
        path = folder / name
        path.write_text(f"{code}\n")
        os.utime(path, ns=(order, order))


def num_oom_kills() -> int:
    """How many processes Linux has ended because memory ran out, since the machine started."""
    try:
        counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counters.get("oom_kill", 0))


def words_for_exit(code: int, out_of_memory: bool = False) -> str:
    """What a shell's exit status says of how a process ended.

    Examples
    --------
    >>> words_for_exit(3)
    'ended its process with exit code 3 (os._exit, or a C library that called exit)'
    >>> words_for_exit(128 + 15)
    'was ended by signal 15 (SIGTERM)'
    """
    try:
        name = signal.Signals(code - 128).name
    except ValueError:
        return f"ended its process with exit code {code} (os._exit, or a C library that called exit)"
    hints = {
        "SIGKILL": ": memory ran out" if out_of_memory else ": killed from outside",
        "SIGSEGV": ": a segmentation fault, it touched memory that is not its own",
        "SIGABRT": ": a library called abort()",
    }
    return f"was ended by signal {code - 128} ({name}){hints.get(name, '')}"
