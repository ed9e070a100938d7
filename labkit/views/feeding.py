"""How a training loop is fed: its waiting and computing above, the fetches of the workers below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from labkit.views.theme import INK, KIND_COLOURS, SERIES, base_layout, time_text, time_unit

if TYPE_CHECKING:
    from labkit.trace.timeline import Timeline

KINDS = {"wait": ("waits for a batch", KIND_COLOURS["wait"]), "compute": ("computes", KIND_COLOURS["compute"]),
         "recv": ("fetches", SERIES[0])}


def feeding_layout(timeline: Timeline) -> dict[str, list[tuple[int, int, int, str]]]:
    """By kind of span: row (0 is the loop, then the workers), start and end in ns, hover text."""
    bars: dict[str, list[tuple[int, int, int, str]]] = {}
    for span in timeline.spans:
        row = (span.rank, span.start_ns, span.end_ns, f"{span.name}<br>{time_text(span.duration_ns)}")
        bars.setdefault(span.kind, []).append(row)
    return bars


def feeding_figure(timeline: Timeline, *, title: str | None = None) -> go.Figure:
    """The timeline of a :class:`labkit.training.feeding.PrefetchingLoader`.

    Parameters
    ----------
    timeline : Timeline
        Of ``loader.timeline()``.
    title : str, optional
        By default the share of its time that the loop has waited.
    """
    bars = feeding_layout(timeline)
    sums = {kind: sum(end - start for _, start, end, _ in bars.get(kind, ())) for kind in ("wait", "compute")}
    whole = sum(sums.values())
    share = f"The loop waits {sums['wait'] / whole:.0%} of its time" if whole else "The loop has not run"
    unit, name = time_unit(timeline.duration_ns)
    figure = go.Figure(layout=base_layout(title or share, 130 + 34 * timeline.num_ranks))
    for kind, (words, colour) in KINDS.items():
        some = bars.get(kind)
        if some:
            figure.add_trace(go.Bar(
                name=words, orientation="h", y=[row for row, *_ in some],
                base=[start / unit for _, start, _, _ in some],
                x=[(end - start) / unit for _, start, end, _ in some], width=0.7, hoverinfo="text",
                hovertext=[text for *_, text in some],
                marker={"color": colour, "line": {"color": "white", "width": 0.5}},
            ))
    figure.update_layout(
        barmode="overlay", margin={"l": 84, "r": 24, "t": 66, "b": 48},
        xaxis={"title": {"text": name}, "range": [0, timeline.duration_ns / unit * 1.01 or 1]},
        yaxis={
            "tickvals": list(range(timeline.num_ranks)), "showgrid": False, "tickfont": {"color": INK},
            "ticktext": ["loop", *(f"worker {number}" for number in range(timeline.num_ranks - 1))],
            "range": [timeline.num_ranks - 0.5, -0.5],
        },
    )
    return figure
