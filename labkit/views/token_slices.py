"""TeraPipe's slices: how a sequence is cut, and how long it takes through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.training.pipeline.token_slices import TokenSlices
from labkit.views.theme import INK, base_layout, time_text, time_unit

COLOURS = ("#0072b2", "#56b4e9")  # in turn, so that neighbours differ
WHITE_LINE = {"width": 0.6, "color": "white"}


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens ``start`` to ``start + length - 1`` in the cut of a name."""

    name: str
    number: int
    start: int
    length: int
    hover: str


@dataclass(frozen=True)
class TokenSlicesLayout:
    """All that is drawn: slices of each cut, and their total times in s with the words beside them."""

    slices: tuple[Slice, ...]
    totals_s: tuple[tuple[str, float, str], ...]
    title: str


def token_slices_layout(cuts: Mapping[str, TokenSlices]) -> TokenSlicesLayout:
    """What to draw of several ways to cut one sequence, by their names."""
    slices, totals = [], []
    for name, cut in cuts.items():
        start = 0
        for number, (length, seconds) in enumerate(zip(cut.lengths, cut.slice_s, strict=True)):
            hover = f"<b>slice {number}: {length:,} tokens</b> from {start:,}<br>{time_text(seconds * 1e9)} on a stage"
            slices.append(Slice(name, number, start, length, hover))
            start += length
        longest = max(cut.slice_s) * 1e9
        words = f"{len(cut.lengths)} slice{'s' * (len(cut.lengths) != 1)}, the longest {time_text(longest)}"
        totals.append((name, cut.total_s, words))
    if not totals:
        return TokenSlicesLayout((), (), "No cut is chosen")
    best = min(totals, key=lambda row: row[1])
    return TokenSlicesLayout(tuple(slices), tuple(totals), f"Least time: <b>{best[0]}</b>, {time_text(best[1] * 1e9)}")


def token_slices_figure(cuts: Mapping[str, TokenSlices]) -> go.Figure:
    """The slices of each cut over the tokens on the left; the time of all through the pipeline on the right."""
    layout = token_slices_layout(cuts)
    figure = go.Figure(layout=base_layout(layout.title, 150 + 46 * max(1, len(layout.totals_s))))
    unit, name = time_unit(max((row[1] for row in layout.totals_s), default=1.0) * 1e9)
    figure.add_trace(
        go.Bar(
            orientation="h", y=[one.name for one in layout.slices], base=[one.start for one in layout.slices],
            x=[one.length for one in layout.slices], hovertext=[one.hover for one in layout.slices], hoverinfo="text",
            marker={"color": [COLOURS[one.number % 2] for one in layout.slices], "line": WHITE_LINE},
            width=0.7, showlegend=False, name="slices",
        )
    )  # fmt: skip
    figure.add_trace(
        go.Bar(
            orientation="h", y=[row[0] for row in layout.totals_s], x=[row[1] * 1e9 / unit for row in layout.totals_s],
            hovertext=[row[2] for row in layout.totals_s], hoverinfo="text", width=0.7, xaxis="x2", showlegend=False,
            text=[time_text(row[1] * 1e9) for row in layout.totals_s], textposition="auto", marker={"color": "#009e73"},
            insidetextfont={"color": "white"}, outsidetextfont={"color": INK}, cliponaxis=False, name="time",
        )
    )  # fmt: skip
    figure.update_layout(
        barmode="overlay", yaxis={"autorange": "reversed", "showgrid": False},
        xaxis={"domain": [0, 0.6], "title": {"text": "token of the sequence"}},
        xaxis2={
            "domain": [0.66, 1], "title": {"text": f"forward through all stages ({name})"}, "anchor": "y",
            "rangemode": "tozero",
        },
        margin={"l": 130, "r": 30, "t": 50, "b": 50},
    )
    return figure
