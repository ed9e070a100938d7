"""A schedule with too many blocks to draw: time in columns, each with the kind that takes most of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from labkit.training.pipeline.actions import KINDS
from labkit.training.pipeline.simulate import SimulatedPipeline

MAX_COLUMNS = 400


@dataclass(frozen=True)
class Cells:
    """Shares of time.

    Attributes
    ----------
    shares : ndarray, float64 (kinds, ranks, columns)
        In the order of ``actions.KINDS``: the part of a column that the kind takes on that rank.
    step_s : float
        What all columns take.
    """

    shares: np.ndarray
    step_s: float

    @property
    def largest(self) -> np.ndarray:
        """Number of the kind that takes most, by rank and column; -1 where it is mostly idle."""
        with_idle = np.concatenate([self.shares, 1 - self.shares.sum(0, keepdims=True)])
        largest = with_idle.argmax(0)
        return np.where(largest == len(KINDS), -1, largest)


def cells_of(run: SimulatedPipeline, num_columns: int = MAX_COLUMNS) -> Cells:
    """The shares of each kind, exact: what a kind does up to the end of a column, less that up to its start."""
    shares = np.zeros((len(KINDS), run.plan.num_ranks, num_columns))
    if not run.step_s:
        return Cells(shares, 0.0)
    edges = np.linspace(0, run.step_s, num_columns + 1)
    for rank, of_rank in enumerate(run.plan.actions):
        start, end = np.array(run.start_s[rank]), np.array(run.end_s[rank])
        kinds = np.array([KINDS.index(action.kind) for action in of_rank])
        for number in range(len(KINDS)):
            mine = kinds == number
            if mine.any():
                # work done before each edge: a broken line through the ends of the actions
                work = np.concatenate([[0.0], np.cumsum(end[mine] - start[mine])])
                times = np.stack([start[mine], end[mine]], 1).ravel()
                done = np.interp(edges, times, np.stack([work[:-1], work[1:]], 1).ravel())
                shares[number, rank] = np.diff(done) / (run.step_s / num_columns)
    return Cells(shares, run.step_s)


def cells_trace(cells: Cells, colours: dict[str, str], unit: float, name: str) -> go.Heatmap:
    """The cells in the colours of their kinds; what is idle stays empty."""
    largest = cells.largest
    num_ranks, num_columns = largest.shape
    total = len(KINDS)
    scale = []
    for number, kind in enumerate(KINDS):
        scale += [(number / total, colours[kind]), ((number + 1) / total, colours[kind])]
    width = cells.step_s * 1e9 / unit / num_columns
    # None and not NaN: what a widget sends is JSON, which knows no NaN.
    return go.Heatmap(
        z=np.where(largest < 0, None, largest.astype(object)), zmin=-0.5, zmax=total - 0.5, colorscale=scale,
        x=(np.arange(num_columns) + 0.5) * width, y=np.arange(num_ranks), showscale=False, hoverongaps=False,
        customdata=np.rint(100 * cells.shares.sum(0)).astype(np.uint8), ygap=1 if num_ranks <= 32 else 0,
        hovertemplate=f"<b>rank %{{y:d}}</b> around %{{x:.4g}} {name}: busy %{{customdata}} %<extra></extra>",
    )  # fmt: skip
