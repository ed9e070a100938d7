"""The table of strategies from MPI ranks that are started for it: with progress, and ended at once when it is stopped.

Run as a module it is the program of one of these ranks.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import find_mpiexec
from labkit.training.strategy_table import StrategyTable

MODELS = {  # name -> (data, kind of model, its sizes, learning rate)
    "mlp, digits": ("load_digits", "mlp", {}, 0.1),
    "mlp, MNIST": ("load_mnist", "mlp", {"hidden": (512, 512, 512)}, 0.05),
    "cnn, digits": ("load_digits", "cnn", {"batch_norm": False}, 0.05),
    "cnn with each rank's batch norm, digits": ("load_digits", "cnn", {}, 0.05),
    "transformer, reviews": ("load_reviews", "transformer", {}, 0.05),
}
MOST_RANKS = 8
DEADLINE_S = 600.0
SAID = "progress: "
LOOK_EVERY_S = 0.2


def compare_on_ranks(
    num_ranks: int, model: str = "mlp, digits", *, strategies: Sequence[str], num_steps: int = 30, batch_size: int = 64,
    seed: int = 0, progress: Callable[[str], None] = lambda text: None, deadline_s: float = DEADLINE_S,
) -> StrategyTable:
    """Train with every strategy on new MPI ranks of this machine, one thread each.

    Parameters
    ----------
    num_ranks : int
        1 to 8.
    model : str
        One of :data:`MODELS`.
    strategies : sequence of str
        As for :func:`labkit.training.compare.compare`.
    num_steps, batch_size, seed : int
    progress : callable
        Is told, several times a second, what is going on; when it raises, the ranks are ended.
    deadline_s : float
        After so long they are ended.

    Returns
    -------
    StrategyTable

    Raises
    ------
    UsageError
        A choice that makes no sense.
    NotAvailableError
        No MPI, ranks that failed, or no answer before the deadline.
    """
    strategies = tuple(strategies)
    _check(num_ranks, model, strategies)
    with tempfile.TemporaryDirectory(prefix="labkit-compare-") as folder:
        result, errors = Path(folder, "table"), Path(folder, "errors")
        request = {
            "model": model, "strategies": strategies, "num_steps": num_steps, "batch_size": batch_size, "seed": seed,
            "result": str(result),
        }
        with open(errors, "wb") as said:
            process = subprocess.Popen(
                [find_mpiexec(), "-n", str(num_ranks), sys.executable, "-m", "mpi4py", "-m", __name__, json.dumps(request)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, errors="replace",
                start_new_session=True, env=_environment(),
            )
        try:
            status = _watch(process, num_ranks, progress, deadline_s)
        finally:
            _end(process)
        if status or not result.exists():
            words = errors.read_text(errors="replace").strip().splitlines()
            words = [line for line in words if not line.startswith("Abort(")] or ["no message"]
            raise NotAvailableError(f"the {num_ranks} ranks failed: {words[-1]}")
        return pickle.loads(result.read_bytes())  # written by our own ranks, into a folder of our own


def _check(num_ranks: int, model: str, strategies: Sequence[str]) -> None:
    from labkit.training.compare import check_strategies

    if model not in MODELS:
        raise UsageError(f"the models are {'; '.join(MODELS)}, not {model!r}: choose one of them.")
    if isinstance(num_ranks, bool) or num_ranks not in range(1, MOST_RANKS + 1):
        raise UsageError(f"num_ranks is from 1 to {MOST_RANKS}, not {num_ranks!r}.")
    check_strategies(strategies)
    if not strategies:
        raise UsageError("there is nothing to compare: choose at least one strategy.")


def _environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _watch(process: subprocess.Popen, num_ranks: int, progress: Callable[[str], None], deadline_s: float) -> int:
    """Pass on what the ranks say until they have ended; their exit status."""
    lines: SimpleQueue[str | None] = SimpleQueue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True, name="labkit compare").start()
    text, ends = f"starting {num_ranks} rank{'s' * (num_ranks != 1)} ...", time.monotonic() + deadline_s
    while True:
        progress(text)
        if time.monotonic() > ends:
            raise NotAvailableError(
                f"{num_ranks} ranks were not ready after {deadline_s:g} s: take fewer steps, strategies or ranks."
            )
        with contextlib.suppress(Empty):
            line = lines.get(timeout=LOOK_EVERY_S)
            if line is None:
                return process.wait()
            if line.startswith(SAID):
                text = line.removeprefix(SAID).rstrip()


def _end(process: subprocess.Popen) -> None:
    """The launcher, the ranks, and all that they have started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)


def main(request: dict) -> None:
    """One rank."""
    import torch
    from mpi4py import MPI

    from labkit.training import data as data_sets
    from labkit.training.compare import compare
    from labkit.training.models.registry import make_model
    from labkit.training.options import TrainingOptions

    torch.set_num_threads(1)
    comm = MPI.COMM_WORLD
    loader, kind, sizes, learning_rate = MODELS[request["model"]]
    data = getattr(data_sets, loader)()
    options = TrainingOptions(
        num_steps=request["num_steps"], batch_size=request["batch_size"], seed=request["seed"], learning_rate=learning_rate
    )
    table = compare(
        comm, lambda: make_model(kind, data, seed=request["seed"], **sizes), data, options,
        strategies=request["strategies"], progress=lambda text: print(SAID + text, flush=True),
    )
    if comm.rank == 0:
        Path(request["result"]).write_bytes(pickle.dumps(table))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
