"""What batch norm over each rank's own shard costs: the loss while training, the test error over the shard's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from labkit.views.theme import INK, SERIES, base_layout

if TYPE_CHECKING:
    from labkit.training.batch_norm_damage import BatchNormDamage

WAYS = (("synchronised", SERIES[0], "circle"), ("unsynchronised", SERIES[1], "square"))
SMOOTHED_STEPS = 10


@dataclass(frozen=True, slots=True)
class DamageLine:
    """A way of training over the sizes of shards, the smallest first: medians over seeds, and each seed.

    Attributes
    ----------
    way : str
    shard_sizes : tuple of int
    test_errors, test_losses : tuple of float
    seeds : tuple of (int, float)
        Shard size and test error of each run.
    """

    way: str
    shard_sizes: tuple[int, ...]
    test_errors: tuple[float, ...]
    test_losses: tuple[float, ...]
    seeds: tuple[tuple[int, float], ...]


def batch_norm_layout(found: BatchNormDamage) -> list[DamageLine]:
    """The lines of the picture: synchronised and unsynchronised."""
    points = sorted(found.points, key=lambda point: point.shard_size)
    lines = []
    for way, _, _ in WAYS:
        learned = [getattr(point, way) for point in points]
        pairs = zip(points, learned, strict=True)
        seeds = [(point.shard_size, error) for point, one in pairs for error in one.test_errors]
        lines.append(DamageLine(
            way, tuple(point.shard_size for point in points), tuple(one.test_error for one in learned),
            tuple(one.test_loss for one in learned), tuple(seeds),
        ))
    return lines


def smoothed(losses) -> np.ndarray:
    """The mean over seeds, and over the last 10 steps.

    Examples
    --------
    >>> smoothed([[4.0, 2.0, 0.0]]).tolist()
    [4.0, 3.0, 2.0]
    """
    mean = np.mean(np.asarray(losses, np.float64), axis=0)
    sums = np.concatenate([[0.0], np.cumsum(mean)])
    ends = np.arange(1, len(mean) + 1)
    starts = np.maximum(ends - SMOOTHED_STEPS, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def batch_norm_figure(found: BatchNormDamage) -> go.Figure:
    """Left: training loss over the steps, with the smallest shards. Right: test error over the samples of a rank.

    Parameters
    ----------
    found : BatchNormDamage
        From :func:`labkit.training.batch_norm_damage.batch_norm_damage`.
    """
    figure = go.Figure(layout=base_layout(f"Batch norm: a batch of {found.batch_size} dealt out to ranks", 440))
    smallest = min(found.points, key=lambda point: point.shard_size)
    ways = [(way, colour, getattr(smallest, way).losses) for way, colour, _ in WAYS]
    for way, colour, losses in ways:
        values = smoothed(losses)
        figure.add_trace(go.Scatter(
            name=way, legendgroup=way, showlegend=False, mode="lines", line={"color": colour, "width": 2},
            x=np.arange(1, len(values) + 1), y=values, xaxis="x", yaxis="y",
            hovertemplate=f"{way}, {smallest.num_ranks} ranks of {smallest.shard_size}<br>"
            "step %{x}: loss %{y:.3g}<extra></extra>",
        ))
    alone = smoothed(found.alone.losses)
    dashed = {"color": INK, "width": 1.5, "dash": "dash"}
    figure.add_trace(go.Scatter(
        name="one process", legendgroup="alone", mode="lines", line=dashed, x=np.arange(1, len(alone) + 1), y=alone,
        hovertemplate="one process<br>step %{x}: loss %{y:.3g}<extra></extra>", xaxis="x", yaxis="y",
    ))
    lines = batch_norm_layout(found)
    sizes = sorted(set(lines[0].shard_sizes))
    ends = [sizes[0] / 1.3, sizes[-1] * 1.3]
    figure.add_trace(go.Scatter(
        name="one process", legendgroup="alone", showlegend=False, mode="lines", line=dashed, x=ends,
        y=[found.alone.test_error] * 2, hovertemplate="one process: %{y:.1%} wrong<extra></extra>", xaxis="x2",
        yaxis="y2",
    ))
    for line, (way, colour, symbol) in zip(lines, WAYS, strict=True):
        figure.add_trace(go.Scatter(
            name=way, legendgroup=way, mode="lines+markers", x=line.shard_sizes, y=line.test_errors, xaxis="x2",
            yaxis="y2", line={"color": colour, "width": 2}, marker={"color": colour, "symbol": symbol, "size": 10},
            hoverinfo="text", hovertext=[
                f"<b>{way}</b>, {size} sample{'' if size == 1 else 's'} a rank<br>"
                f"test part: {error:.1%} wrong, loss {loss:.3g}"
                for size, error, loss in zip(line.shard_sizes, line.test_errors, line.test_losses, strict=True)
            ],
        ))
        figure.add_trace(go.Scatter(
            name=f"{way}: each seed", legendgroup=way, showlegend=False, mode="markers", xaxis="x2", yaxis="y2",
            x=[size for size, _ in line.seeds], y=[error for _, error in line.seeds], opacity=0.5,
            marker={"color": colour, "symbol": f"{symbol}-open", "size": 6},
            hovertemplate=f"{way}, one seed: %{{y:.1%}} wrong<extra></extra>",
        ))
    own = figure.layout.template.layout.xaxis.to_plotly_json()  # the template knows of the first pair only
    figure.update_layout(
        xaxis={"domain": [0, 0.44], "title": {"text": f"step ({smallest.num_ranks} ranks of {smallest.shard_size})"}},
        yaxis={"type": "log", "title": {"text": "training loss"}},
        xaxis2={
            **own, "domain": [0.57, 1], "anchor": "y2", "type": "log", "tickvals": sizes,
            "ticktext": [str(n) for n in sizes], "title": {"text": "samples of a rank in each step"},
        },
        yaxis2={**own, "anchor": "x2", "title": {"text": "test error"}, "tickformat": ".0%", "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"}, margin={"l": 66, "r": 24, "t": 44, "b": 100},
    )
    return figure
