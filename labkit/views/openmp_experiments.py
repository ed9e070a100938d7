"""What the pictures of the experiments with threads have in common: titles that wrap, bars with their values beside."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import plotly.graph_objects as go

from labkit.views.theme import INK, base_layout

TITLE_WIDTH = 88  # characters that fit above a figure as wide as a notebook's
LINE_HEIGHT = 19  # px of a line of the title
BAR_HEIGHT = 40  # px of a bar and the air around it


def titled_layout(title: str, height: int, *, has_legend: bool = True) -> tuple[dict, int]:
    """A layout whose title may be long, and the top margin it needs; ``height`` is that of the plot and its axis."""
    lines = textwrap.wrap(title, TITLE_WIDTH) or [""]
    top = 26 + LINE_HEIGHT * len(lines) + (30 if has_legend else 4)
    return base_layout("<br>".join(lines), height + top), top


def bar_figure(
    title: str, names: Sequence[str], values: Sequence[float], texts: Sequence[str], colours: Sequence[str], *,
    hovers: Sequence[str], axis: dict, left: int,
) -> go.Figure:  # fmt: skip
    """Horizontal bars from top to bottom, each with its text behind its end; ``axis`` says range and title of values.

    ``left`` is the room for the names in px.
    """
    layout, top = titled_layout(title, BAR_HEIGHT * len(names) + 60, has_legend=False)
    figure = go.Figure(layout=layout)
    figure.add_trace(
        go.Bar(
            y=list(range(len(names))), x=list(values), orientation="h", width=0.62, text=list(texts),
            textposition="outside", textfont={"color": INK, "size": 12}, cliponaxis=False,
            marker={"color": list(colours)}, hovertext=list(hovers), hoverinfo="text", showlegend=False,
        )
    )
    figure.update_layout(
        xaxis=axis, margin={"l": left, "r": 30, "t": top, "b": 50},
        yaxis={
            "tickmode": "array", "tickvals": list(range(len(names))), "ticktext": list(names), "showgrid": False,
            "range": [len(names) - 0.5, -0.5], "ticks": "outside", "ticklen": 4, "tickcolor": "rgba(0,0,0,0)",
        },
    )
    return figure


def upright_line(figure: go.Figure, x: float, text: str, *, on: str = "", is_log: bool = False) -> None:
    """A vertical line with its name at its top, right of it; ``on`` is the number of the axes."""
    import math

    place = math.log10(x) if is_log else x
    figure.add_shape(
        type="line", x0=x, x1=x, y0=0, y1=1, yref=f"y{on} domain", xref=f"x{on}",
        line={"color": INK, "dash": "dash", "width": 1.4},
    )
    figure.add_annotation(
        x=place, y=1, xref=f"x{on}", yref=f"y{on} domain", text=text, showarrow=False, xanchor="left", yanchor="top",
        xshift=4, font={"color": INK, "size": 12},
    )
