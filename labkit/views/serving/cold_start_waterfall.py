"""Cold starts, phase by phase: what a first request waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.views.serving.axes import BELOW, empty_note, seconds_given, seconds_text
from labkit.views.theme import INK, KIND_COLOURS, SERIES, base_layout, time_unit

PHASES = (  # in the order in which they happen
    ("process", "process starts", KIND_COLOURS["compute"]), ("imports", "imports", SERIES[0]),
    ("model", "model is loaded", SERIES[4]), ("first_call", "first call", SERIES[2]),
)
MOST_BARS = 24


@dataclass(frozen=True, slots=True)
class PhaseBar:
    """A phase of a start as drawn: row, key of the phase, start and length in seconds, and its share."""

    row: int
    phase: str
    start_s: float
    length_s: float
    share: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Names of the rows from the top, their whole lengths in seconds, and the bars."""

    names: tuple[str, ...]
    totals_s: tuple[float, ...]
    bars: tuple[PhaseBar, ...]


def cold_start_waterfall_layout(starts: Mapping[str, object] | Sequence[object]) -> Waterfall:
    """One row a start; each phase begins where the one before has ended.

    Parameters
    ----------
    starts : dict of name to phases, or sequence of records
        Phases are a dict of seconds by name, or something with such a dict as ``phases_s`` (an ``InvocationRecord``).
        Of a sequence, warm calls are left out and rows are called by their environment.
    """
    if not isinstance(starts, Mapping):
        cold = [record for record in starts if record.phases_s]
        starts = {f"environment {record.environment}": record for record in cold}
        if len(starts) < len(cold):
            raise UsageError("cold_start_waterfall: one environment started twice: pass a dict with names.")
    if len(starts) > MOST_BARS:
        raise UsageError(f"cold_start_waterfall: at most {MOST_BARS} starts a picture, not {len(starts)}: pass some.")
    totals, bars = [], []
    for row, (name, start) in enumerate(starts.items()):
        given = start if isinstance(start, Mapping) else getattr(start, "phases_s", None)
        if not isinstance(given, Mapping) or not given:
            raise UsageError(f"cold_start_waterfall: {name} has no phases (a warm call has none): pass a cold start.")
        phases = {key: seconds_given("cold_start_waterfall", f"{key} of {name}", value) for key, value in given.items()}
        known = [key for key, *_ in PHASES if key in phases]
        total, at = sum(phases.values()), 0.0
        for phase in [*known, *(key for key in phases if key not in known)]:
            bars.append(PhaseBar(row, phase, at, phases[phase], phases[phase] / total if total else 0.0))
            at += phases[phase]
        totals.append(total)
    return Waterfall(tuple(starts), tuple(totals), tuple(bars))


def cold_start_waterfall_figure(
    starts: Mapping[str, object] | Sequence[object], *, warm_s: float | None = None, title: str | None = None
) -> go.Figure:
    """Phases of cold starts as bars that follow one another, one row a start.

    Parameters
    ----------
    starts
        See :func:`cold_start_waterfall_layout`; several environments or backends one below the other.
    warm_s : float, optional
        How long a warm call takes, for the words beside the bars.
    title : str, optional
        By default what takes the longest.
    """
    layout = cold_start_waterfall_layout(starts)
    warm_s = None if warm_s is None else seconds_given("cold_start_waterfall", "warm_s", warm_s)
    longest = max(layout.totals_s, default=0.0)
    scale, unit = time_unit(1e9 * longest)
    figure = go.Figure(layout=base_layout(title or _title(layout), 168 + 40 * max(1, len(layout.names))))
    labels = {key: (words, colour) for key, words, colour in PHASES}
    keys = [key for key in labels if any(bar.phase == key for bar in layout.bars)]
    others = sorted({bar.phase for bar in layout.bars} - set(labels))
    labels |= {key: (key, SERIES[(3, 5, 1)[k % 3]]) for k, key in enumerate(others)}
    for key in [*keys, *others]:
        own = [bar for bar in layout.bars if bar.phase == key]
        words, colour = labels[key]
        figure.add_trace(go.Bar(
            name=words, orientation="h", y=[bar.row for bar in own], base=[1e9 * bar.start_s / scale for bar in own],
            x=[1e9 * bar.length_s / scale for bar in own], width=0.62, hoverinfo="text",
            hovertext=[
                f"<b>{layout.names[b.row]}</b><br>{words}: {seconds_text(b.length_s)}, {b.share:.1%}" for b in own
            ],
            marker={"color": colour, "line": {"width": 0}},
        ))
    for row, total in enumerate(layout.totals_s):
        figure.add_annotation(
            x=1e9 * total / scale, y=row, xanchor="left", yanchor="middle", showarrow=False, font={"color": INK},
            text=f" {seconds_text(total)}" + (f", {_times(total / warm_s)} a warm call" if warm_s else ""),
        )
    if not layout.names:
        empty_note(figure, "no cold start among these calls")
    reach = 1.42 if warm_s else 1.14
    figure.update_layout(
        barmode="overlay", margin={"l": 20, "r": 24, "t": 44, "b": 92}, legend=BELOW,
        xaxis={"title": {"text": f"{unit} since the environment was asked for"},
               "range": [0, reach * 1e9 * longest / scale or 1]},
        yaxis={
            "tickvals": list(range(len(layout.names))), "ticktext": [f"{name} " for name in layout.names],
            "automargin": True, "showgrid": False, "range": [max(1, len(layout.names)) - 0.5, -0.5],
        },
    )
    return figure


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} x" if ratio >= 100 else f"{ratio:.2g} x"


def _title(layout: Waterfall) -> str:
    if not layout.bars:
        return "Cold starts"
    words = {key: text for key, text, _ in PHASES}
    row = max(range(len(layout.names)), key=lambda k: layout.totals_s[k])
    top = max((bar for bar in layout.bars if bar.row == row), key=lambda bar: bar.length_s)
    phase = words.get(top.phase, top.phase)
    return f"Cold starts: the longest takes {seconds_text(layout.totals_s[row])}, {top.share:.0%} of it: {phase}"
