"""One table: one model, one seed, all strategies; what each costs, and how far it is from one process."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
from labkit.training.trainer import Trainer

SERVER = "parameter_server"
ALL = (
    "naive", "flat", "bucketed", "overlapped", "fp16_compressed", "bf16_compressed", "top_k", "zero_1", "zero_2",
    "zero_3", "torch_ddp", SERVER,
)
NOT_EVERYWHERE = ("torch_ddp", SERVER)  # a row says why they were left out
HEADINGS = (
    "strategy", "step", "communication", "overlap", "idle", "sent a rank", "messages", "peak memory", "tensors",
    "difference",
)


@dataclass(frozen=True, eq=False)
class ComparisonRow:
    """One strategy.

    Attributes
    ----------
    name : str
    step_s, compute_s, communication_s, overlap_s, idle_s : float or None
        Medians over ranks and steps, without the first step; see :class:`labkit.training.timing.StepTimes`. Of the
        parameter server: means over workers and steps, and what cannot be told apart there is None.
    sent_bytes, num_messages : tuple of int
        By rank, of all steps; messages of the parameter server are not counted.
    memory : tuple of MemoryUse
        By rank.
    losses : tuple of float
    difference : float or None
        The largest difference of a weight to the one process, divided by the largest way that a weight has gone there.
    replicas_are_equal : bool
    left_out : str
        Why this strategy did not run; all else is empty then.
    report : TrainingReport or None
    """

    name: str
    step_s: float | None = None
    compute_s: float | None = None
    communication_s: float | None = None
    overlap_s: float | None = None
    idle_s: float | None = None
    sent_bytes: tuple[int, ...] = ()
    num_messages: tuple[int, ...] = ()
    memory: tuple[MemoryUse, ...] = ()
    losses: tuple[float, ...] = ()
    difference: float | None = None
    replicas_are_equal: bool = True
    left_out: str = ""
    report: TrainingReport | None = field(default=None, repr=False)

    @property
    def peak_bytes(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(use.peak_bytes for use in self.memory)

    @property
    def tensors_bytes(self) -> tuple[int, ...]:
        """Live tensors by rank."""
        return tuple(use.tensors_bytes for use in self.memory)

    def cells(self) -> tuple[str, ...]:
        """As texts, in the order of ``HEADINGS``."""
        if self.left_out:
            return (self.name, *[""] * (len(HEADINGS) - 1))
        difference = "" if self.difference is None else f"{self.difference:.1e}" if self.difference else "0"
        times = [_time(s) for s in (self.step_s, self.communication_s, self.overlap_s, self.idle_s)]
        sizes = [_range(values, _bytes) for values in (self.peak_bytes, self.tensors_bytes)]
        if not self.replicas_are_equal:
            difference += ", ranks differ"
        return (
            self.name, *times, _range(self.sent_bytes, _bytes), _range(self.num_messages, str), *sizes, difference
        )


@dataclass(frozen=True, eq=False)
class StrategyTable:
    """All rows, the first of which is the one process. Prints as a table, in a notebook too.

    As a picture: :func:`labkit.views.training.compare_figure`.
    """

    num_ranks: int
    options: TrainingOptions
    rows: tuple[ComparisonRow, ...]

    def __getitem__(self, name: str) -> ComparisonRow:
        """The row of a strategy."""
        for row in self.rows:
            if row.name == name:
                return row
        raise UsageError(f"the table has no row {name!r}: it has {', '.join(row.name for row in self.rows)}.")

    @property
    def reports(self) -> tuple[TrainingReport, ...]:
        """Of all rows that have one."""
        return tuple(row.report for row in self.rows if row.report is not None)

    def _title(self) -> str:
        return (
            f"{self.options.num_steps} steps of {self.options.batch_size} samples on {self.num_ranks} "
            f"rank{'' if self.num_ranks == 1 else 's'}, seed {self.options.seed}"
        )

    def __str__(self) -> str:
        rows = [HEADINGS, *(row.cells() for row in self.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
        lines = [self._title()]
        for cells, row in zip(rows, (None, *self.rows), strict=True):
            words = [cells[0].ljust(widths[0])]
            if row is not None and row.left_out:
                words.append(f"left out: {row.left_out}")
            else:
                words += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
            lines.append("  ".join(words).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:right'>{html.escape(text)}</th>" for text in HEADINGS)
        body = []
        for row in self.rows:
            cells = [html.escape(text) for text in row.cells()]
            if row.left_out:
                text = html.escape(f"left out: {row.left_out}")
                rest = f"<td colspan='{len(HEADINGS) - 1}' style='text-align:left'>{text}</td>"
            else:
                rest = "".join(f"<td style='text-align:right;white-space:nowrap'>{cell}</td>" for cell in cells[1:])
            body.append(f"<tr><th style='text-align:left'>{cells[0]}</th>{rest}</tr>")
        return (
            f"<table><caption>{html.escape(self._title())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(body)}</tbody></table>"
        )


def compare(
    comm, make_model: Callable[[], nn.Module], data: DataSet, options: TrainingOptions | None = None, *,
    strategies: Sequence[str] = ALL,
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
    all_or_none(comm, lambda: _check(strategies))
    check_equal(comm, "the strategies to compare", repr(tuple(strategies)), "Pass equal ones on every rank.")
    first = {name: value.detach().clone() for name, value in make_model().state_dict().items()}
    alone, oracle = all_or_none(
        comm, lambda: _run(Alone(), make_model(), data, options, "serial") if comm.rank == 0 else (None, None)
    )
    scale = _largest(first, oracle) if comm.rank == 0 else None
    serial = _row(comm.bcast(alone, 0), 0.0)
    rows = [_beside_simulated(serial) if is_simulated(comm) else serial]
    for name in strategies:
        try:
            if name == SERVER:
                row, weights = _with_servers(comm, make_model(), data, options)
            else:
                report, weights = _run(comm, make_model(), data, options, name)
                row = _row(report, None)
        except (UsageError, NotAvailableError) as error:
            if name not in NOT_EVERYWHERE:
                raise
            rows.append(ComparisonRow(name, left_out=str(error)))
            continue
        difference = _largest(oracle, weights) / (scale or 1.0) if comm.rank == 0 else None
        rows.append(dataclasses.replace(row, difference=comm.bcast(difference, 0)))
    return StrategyTable(comm.size, options, tuple(rows))


def _check(strategies: Sequence[str]) -> None:
    known = (*STRATEGIES, SERVER)
    unknown = [name for name in strategies if name not in known or name == "serial"]
    if isinstance(strategies, str) or unknown:
        names = ", ".join(name for name in known if name != "serial")
        raise UsageError(f"strategies is a sequence of names, not {strategies!r}: take some of {names}.")


def _run(comm, model, data, options, strategy):
    """The report, and copies of the weights."""
    with Trainer(comm, model, data, options, strategy=strategy) as trainer:
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


def _with_servers(comm, model, data, options):
    """The parameter server's row: of its memory only the model, its gradients and the peak are known."""
    from labkit.training.parameter_server.train import train_with_servers

    meter = PeakMeter(next(model.parameters()).device, shares_process=is_simulated(comm))
    report = train_with_servers(comm, model, data, options, consistency="bsp")
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


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return "0" if seconds == 0 else f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"


def _range(values: Sequence[int], text: Callable[[int], str]) -> str:
    """One text for all ranks, or the least and the most."""
    if not values:
        return ""
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"
