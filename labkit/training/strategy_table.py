"""The table of strategies: a row for each, as text, in a notebook, and to draw."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from labkit.errors import UsageError
from labkit.training.memory import MemoryUse
from labkit.training.options import TrainingOptions
from labkit.training.report import TrainingReport

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
