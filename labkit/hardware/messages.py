"""Messages between two ranks of this machine: latency, bandwidth, and the line through them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.errors import NotAvailableError

DEADLINE_S = 60
LOOK_S = 0.2
END_S = 3.0  # for a launcher that was told to end
# Becomes mpiexec, and ends it once the other end of a pipe is closed: that is so when the process that waits for the
# ranks is killed, and ranks that wait for each other would stay for ever. The watcher is no child of mpiexec's.
LIFELINE = '( (read _; kill -TERM -$$) <"/dev/fd/$0" >/dev/null 2>&1 & ); exec "$@"'
# Runs a rank and notes how it ended. mpiexec ends both together once another rank has died, so the first one leaves the
# first note; mpiexec itself names the lowest rank instead.
GUARD = '"$@"; code=$?; echo $code >"$0/${PMI_RANK-${OMPI_COMM_WORLD_RANK-}}"; exit $code'


@dataclass(frozen=True, slots=True)
class MessageTimes:
    """Times of messages by size, and the fit ``time = alpha + beta * bytes`` (alpha in s, beta in s/B)."""

    sizes_bytes: tuple[int, ...]
    times_s: tuple[float, ...]
    alpha_s: float
    beta_s_per_byte: float


def find_mpiexec() -> str:
    """The path of ``mpiexec``: this environment's own, else the one on PATH.

    Raises
    ------
    NotAvailableError
        There is none.
    """
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        raise NotAvailableError(
            "No MPI here: there is no mpiexec beside this Python and none on the PATH. "
            "Install one with: pip install mpich mpi4py"
        )
    return found


def run_mpi(
    arguments: Sequence[str], num_ranks: int, deadline_s: float = DEADLINE_S, look: Callable[[], None] | None = None
) -> str:
    """Run a Python program on MPI ranks and return what it printed.

    Parameters
    ----------
    arguments : sequence of str
        The program, and its arguments.
    num_ranks : int
    deadline_s : float
    look : callable, optional
        Called a few times a second meanwhile; what it raises ends the ranks and is raised here.

    Raises
    ------
    NotAvailableError
        It failed, or did not end before the deadline; its whole process group is ended then.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-ranks-") as notes, _lifeline() as line:
        program = [sys.executable, "-m", "mpi4py", *arguments]  # a rank that fails ends all
        launcher = [find_mpiexec(), "-n", str(num_ranks), "sh", "-c", GUARD, notes, *program]
        process = subprocess.Popen(
            ["sh", "-c", LIFELINE, str(line), *launcher], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True, pass_fds=[line],
        )
        try:
            output, errors = _communicate(process, deadline_s, look)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NotAvailableError(
                f"{num_ranks} MPI ranks did not answer within {deadline_s:g} s; labkit doctor looks for the cause."
            ) from None
        except BaseException:  # the Stop button
            _end(process)
            raise
        if process.returncode:
            lines = [line for line in (errors or output).strip().splitlines() if not line.startswith("Abort(")]
            words = _killed(Path(notes)) or (lines[-1] if lines else "no message")
            raise NotAvailableError(f"mpiexec -n {num_ranks} failed: {words}")
        return output


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The end of a pipe to watch; the other one is this process's alone, and closed at the end."""
    watched, own = os.pipe()
    try:
        yield watched
    finally:
        os.close(watched)
        os.close(own)


def _killed(notes: Path) -> str:
    """Which rank was ended by a signal first, and which; "" if none was."""
    for note in sorted(notes.iterdir(), key=lambda note: note.stat().st_mtime_ns):
        number = int(note.read_text() or 0) - 128
        if note.name and number in set(signal.Signals):
            return f"rank {note.name} was ended by signal {number} ({signal.Signals(number).name})"
    return ""


def _communicate(process: subprocess.Popen, deadline_s: float, look: Callable[[], None] | None) -> tuple[str, str]:
    if look is None:
        return process.communicate(timeout=deadline_s)
    until = time.monotonic() + deadline_s
    while True:
        look()
        try:
            return process.communicate(timeout=max(0.0, min(LOOK_S, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= until:
                raise


def _end(process: subprocess.Popen) -> None:
    """End ranks, all that they have started, and their launcher.

    A launcher that has just begun to start ranks may miss a signal; the last one it cannot miss, and its ranks end when
    they lose it.
    """
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.communicate(timeout=END_S)
            return
        except subprocess.TimeoutExpired:
            continue


def measure_messages() -> MessageTimes:
    """Ping-pong between two real ranks."""
    output = run_mpi([str(Path(__file__).with_name("ping_pong.py"))], 2)
    points = json.loads(output.splitlines()[-1])["points"]
    sizes, times = zip(*points, strict=True)
    alpha, beta = fit_alpha_beta(sizes, times)
    return MessageTimes(tuple(sizes), tuple(times), alpha, beta)


def fit_alpha_beta(sizes_bytes: Sequence[float], times_s: Sequence[float]) -> tuple[float, float]:
    """Least squares of the relative error of ``alpha + beta * bytes`` among those where neither is negative.

    Examples
    --------
    >>> alpha, beta = fit_alpha_beta([1, 1000, 10**6], [2e-6, 3e-6, 1.002e-3])
    >>> round(alpha * 1e6, 3), round(beta * 1e9, 3)
    (1.999, 1.0)
    """
    sizes, times = np.asarray(sizes_bytes, float), np.asarray(times_s, float)
    rows = np.stack([1 / times, sizes / times], axis=1)
    alpha, beta = np.linalg.lstsq(rows, np.ones(len(times)), rcond=None)[0].tolist()
    if alpha < 0:  # the best line that is allowed has alpha = 0, and another beta
        return 0.0, _fit_alone(rows[:, 1])
    if beta < 0:
        return _fit_alone(rows[:, 0]), 0.0
    return alpha, beta


def _fit_alone(column: np.ndarray) -> float:
    """The factor that makes a column, none of it negative, as near to 1 as can be."""
    return float(column.sum() / (column @ column))
