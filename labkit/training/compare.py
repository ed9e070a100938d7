"""One table: one model, one seed, all strategies; what each costs, and how far it is from one process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import nn

from labkit.errors import NotAvailableError, UsageError
from labkit.training.agreement import all_or_none, check_equal
from labkit.training.data import DataSet
from labkit.training.memory import MemoryUse, PeakMeter, tensor_bytes
from labkit.training.options import TrainingOptions
from labkit.training.recording import is_simulated
from labkit.training.report import TrainingReport
from labkit.training.serial import Alone
from labkit.training.strategies import STRATEGIES
from labkit.training.strategy_table import HEADINGS, ComparisonRow, StrategyTable
from labkit.training.trainer import Trainer

__all__ = ["ALL", "HEADINGS", "ComparisonRow", "StrategyTable", "compare"]

SERVER = "parameter_server"
ALL = (
    "naive", "flat", "bucketed", "overlapped", "fp16_compressed", "bf16_compressed", "top_k", "zero_1", "zero_2",
    "zero_3", "torch_ddp", SERVER,
)
NOT_EVERYWHERE = ("torch_ddp", SERVER)  # a row says why they were left out


def compare(
    comm, make_model: Callable[[], nn.Module], data: DataSet, options: TrainingOptions | None = None, *,
    strategies: Sequence[str] = ALL, progress: Callable[[str], None] | None = None,
) -> StrategyTable:
    """Train the same model with every strategy, and in one process. Collective.

    Parameters
    ----------
    comm : communicator
        Real ranks, those of a ``%%mpi`` cell, or simulated ones, whose times are virtual and of messages
        alone (the one process has none then).
    make_model : callable
        ``make_model()`` is a new model, the same each time and on every rank.
    data : DataSet
    options : TrainingOptions, optional
    strategies : sequence of str
        Names of :data:`labkit.training.strategies.STRATEGIES`, and ``"parameter_server"``: one server, the other ranks
        are workers that all wait for each other (BSP). The one process is always the first row.
    progress : callable, optional
        Rank 0 is told which strategy it is, and how far. By default each run shows its own progress.

    Returns
    -------
    StrategyTable
        Equal on all ranks.

    Raises
    ------
    UsageError
        An unknown strategy, or as :func:`labkit.training.trainer.train` does.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits()
    >>> def program(comm):
    ...     options = TrainingOptions(num_steps=3, batch_size=32)
    ...     make = lambda: make_model("mlp", data, hidden=(16,))
    ...     return compare(comm, make, data, options, strategies=("flat", "zero_1"))
    >>> table = simulate(2, program).results[0]
    >>> [row.name for row in table.rows], table["flat"].difference < 1e-5
    (['serial', 'flat', 'zero_1'], True)
    """
    options = options or TrainingOptions()
    all_or_none(comm, lambda: check_strategies(strategies))
    check_equal(comm, "the strategies to compare", repr(tuple(strategies)), "Pass equal ones on every rank.")
    first = {name: value.detach().clone() for name, value in make_model().state_dict().items()}
    tell = _teller(progress if comm.rank == 0 else None, len(strategies))
    alone, oracle = all_or_none(comm, lambda: _run(
        Alone(), make_model(), data, options, "serial", tell("one process", 0)
    ) if comm.rank == 0 else (None, None))
    scale = _largest(first, oracle) if comm.rank == 0 else None
    serial = _row(comm.bcast(alone, 0), 0.0)
    rows = [_beside_simulated(serial) if is_simulated(comm) else serial]
    for number, name in enumerate(strategies, 1):
        show = tell(name, number)
        try:
            if name == SERVER:
                row, weights = _with_servers(comm, make_model(), data, options, show)
            else:
                report, weights = _run(comm, make_model(), data, options, name, show)
                row = _row(report, None)
        except (UsageError, NotAvailableError) as error:
            if name not in NOT_EVERYWHERE:
                raise
            rows.append(ComparisonRow(name, left_out=str(error)))
            continue
        difference = _largest(oracle, weights) / (scale or 1.0) if comm.rank == 0 else None
        rows.append(dataclasses.replace(row, difference=comm.bcast(difference, 0)))
    return StrategyTable(comm.size, options, tuple(rows))


def check_strategies(strategies: Sequence[str]) -> None:
    """Raise UsageError if a name is not that of a strategy."""
    known = (*STRATEGIES, SERVER)
    unknown = [name for name in strategies if name not in known or name == "serial"]
    if isinstance(strategies, str) or unknown:
        names = ", ".join(name for name in known if name != "serial")
        raise UsageError(f"strategies is a sequence of names, not {strategies!r}: take some of {names}.")


def _teller(progress: Callable[[str], None] | None, num_strategies: int) -> Callable:
    """``tell(name, number)``: says who is next; what a trainer is given as its progress."""
    if progress is None:
        return lambda name, number: None

    def tell(name, number):
        words = f"{name} ({number} of {num_strategies})" if number else name
        progress(words)
        return lambda text: progress(f"{words}: {text}")

    return tell


def _run(comm, model, data, options, strategy, progress):
    """The report, and copies of the weights."""
    with Trainer(comm, model, data, options, strategy=strategy, progress=progress) as trainer:
        report = trainer.run()
        return report, _copies(trainer.strategy.model_state_dict())


def _copies(state) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in state.items() if torch.is_tensor(value)}


def _largest(first: dict, second: dict) -> float:
    """The largest difference of an element; NaN stays NaN."""
    differences = [
        (first[name].double() - second[name].double()).abs().max() for name in first
        if first[name].is_floating_point() and first[name].numel()
    ]
    return float(torch.stack(differences).max()) if differences else 0.0


def _row(report: TrainingReport, difference: float | None) -> ComparisonRow:
    return ComparisonRow(
        report.strategy, **report.times.median(), sent_bytes=report.sent_bytes, num_messages=report.num_messages,
        memory=report.memory, losses=report.losses, difference=difference,
        replicas_are_equal=report.replicas_are_equal, report=report,
    )


def _beside_simulated(row: ComparisonRow) -> ComparisonRow:
    """The one process ran in real time and memory: what cannot be compared with virtual ranks is left out."""
    times = dict.fromkeys(("step_s", "compute_s", "communication_s", "overlap_s", "idle_s"))
    memory = tuple(dataclasses.replace(use, peak_bytes=use.tensors_bytes) for use in row.memory)
    return dataclasses.replace(row, **times, memory=memory)


def _with_servers(comm, model, data, options, progress):
    """The parameter server's row: of its memory only the model, its gradients and the peak are known."""
    from labkit.training.parameter_server.train import train_with_servers

    meter = PeakMeter(next(model.parameters()).device, shares_process=is_simulated(comm))
    report = train_with_servers(comm, model, data, options, consistency="bsp", progress=progress)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    sizes = tensor_bytes([*model.parameters(), *model.buffers()]), tensor_bytes(gradients)
    use = MemoryUse(*sizes, 0, 0, meter.peak_bytes() or sum(sizes))
    steps = max(1, report.losses.shape[1])
    step_s = float((report.moments_s[:, -1, 3] - report.moments_s[:, 0, 0]).mean()) / steps
    # The server sends each worker the weights as often as the worker sends it a gradient.
    sent = (sum(report.sent_bytes), *report.sent_bytes)
    row = ComparisonRow(
        SERVER, step_s, float(report.computed_s.mean()) / steps, None, None, float(report.waited_s.mean()) / steps,
        sent_bytes=sent, memory=tuple(comm.allgather(use)), losses=tuple(map(float, report.mean_losses())),
    )
    return row, _copies(model.state_dict())
