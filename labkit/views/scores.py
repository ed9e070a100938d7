"""How a class has done: question by question, in all, and where it went wrong."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.views.theme import GRID, INK, SERIES, base_layout

STATUS_COLOURS = {  # from all points to nothing there
    "passed": SERIES[2],
    "over budget": SERIES[5],
    "incorrect": SERIES[1],
    "deadlocked": SERIES[3],
    "timed out": SERIES[4],
    "crashed": "#8c2d04",
    "forbidden call": "#5e3c99",
    "not attempted": "#b0b4b9",
    "not handed in": "#d5d8db",
    "unreadable": "#6b7075",
    "not judged": "#303336",
}
NUM_BINS = 10
MAX_SLIPS = 12
ROW_PX = 34


@dataclass(frozen=True, slots=True)
class Score:
    """A student's answer to a question, as the figures need it; ``slip`` is "" where none is known."""

    student: str
    exercise: str
    points: float
    max: float
    status: str
    slip: str = ""


@dataclass(frozen=True, slots=True)
class ScoresLayout:
    """What the figures show.

    Attributes
    ----------
    exercises : tuple of str
        In the order of the scores.
    counts : dict
        By status, in the order of ``STATUS_COLOURS``: the number of students for each exercise.
    means : tuple of float
        Mean points of each exercise, in percent.
    bins : tuple of int
        Students with a total of 0 to 10 %, ..., 90 to 100 %; the last one holds 100 % too.
    slips : tuple of (str, str, int)
        Exercise, slip and how many students, the most common first.
    """

    exercises: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    means: tuple[float, ...]
    bins: tuple[int, ...]
    slips: tuple[tuple[str, str, int], ...]


def scores_layout(scores: Iterable[Score]) -> ScoresLayout:
    """Count statuses, points and slips.

    Examples
    --------
    >>> layout = scores_layout([Score("ann", "t/a", 2, 2, "passed"), Score("bob", "t/a", 0, 2, "incorrect", "off by one")])
    >>> layout.counts, layout.means, layout.slips
    ({'passed': (1,), 'incorrect': (1,)}, (50.0,), (('t/a', 'off by one', 1),))
    """
    scores = [score for score in scores if score.exercise]
    exercises = tuple(dict.fromkeys(score.exercise for score in scores))
    by_status = Counter((score.status, score.exercise) for score in scores)
    known = [*STATUS_COLOURS, *sorted({score.status for score in scores} - set(STATUS_COLOURS))]
    counts = {status: tuple(by_status[status, exercise] for exercise in exercises) for status in known}
    means = tuple(_percent([score for score in scores if score.exercise == exercise]) for exercise in exercises)
    bins = [0] * NUM_BINS
    own: dict[str, list[Score]] = {}
    for score in scores:
        own.setdefault(score.student, []).append(score)
    for found in own.values():
        bins[min(int(_percent(found) * NUM_BINS / 100), NUM_BINS - 1)] += 1
    slips = Counter((score.exercise, score.slip) for score in scores if score.slip)
    ranked = sorted(slips.items(), key=lambda item: (-item[1], item[0]))
    return ScoresLayout(
        exercises, {status: numbers for status, numbers in counts.items() if any(numbers)}, means, tuple(bins),
        tuple((exercise, slip, number) for (exercise, slip), number in ranked[:MAX_SLIPS]),
    )


def questions_figure(scores: Iterable[Score]) -> go.Figure:
    """A bar for each question: how many students got which status."""
    layout = scores_layout(scores)
    figure = go.Figure()
    for status, numbers in layout.counts.items():
        figure.add_bar(
            y=layout.exercises, x=numbers, name=status, orientation="h", marker_color=STATUS_COLOURS.get(status, INK),
            hovertemplate=f"%{{y}}<br>{status}: %{{x}}<extra></extra>",
        )
    num_students = max((sum(column) for column in zip(*layout.counts.values(), strict=True)), default=0)
    for exercise, mean in zip(layout.exercises, layout.means, strict=True):
        figure.add_annotation(
            x=num_students, y=exercise, text=f"{mean:.0f} % of the points", showarrow=False, xanchor="left", xshift=6, font_color=INK,
        )
    figure.update_layout(
        **base_layout("What came of each question", 150 + ROW_PX * len(layout.exercises)), barmode="stack",
        yaxis_autorange="reversed", xaxis_title_text="students",
    )
    figure.update_layout(margin={"l": 10, "r": 140, "t": 90}, yaxis_automargin=True)
    return figure


def totals_figure(scores: Iterable[Score]) -> go.Figure:
    """How many students have how much of the points."""
    layout = scores_layout(scores)
    width = 100 // NUM_BINS
    names = [f"{width * i} to {width * (i + 1)} %" for i in range(NUM_BINS)]
    figure = go.Figure(go.Bar(
        x=names, y=layout.bins, marker_color=SERIES[0], hovertemplate="%{x}<br>%{y} students<extra></extra>",
    ))
    figure.update_layout(**base_layout("Totals of the students", 320), xaxis_title_text="of all points", yaxis_title_text="students")
    return figure


def slips_figure(scores: Iterable[Score]) -> go.Figure:
    """The slips that most students made."""
    layout = scores_layout(scores)
    names = [f"{exercise}<br>{_wrapped(slip)}" for exercise, slip, _ in layout.slips]
    figure = go.Figure(go.Bar(
        y=names, x=[number for _, _, number in layout.slips], orientation="h", marker_color=SERIES[1],
        hovertemplate="%{y}<br>%{x} students<extra></extra>",
    ))
    height = 130 + sum(20 * (name.count("<br>") + 1) for name in names)
    figure.update_layout(**base_layout("The most common slips", height), yaxis_autorange="reversed", xaxis_title_text="students")
    figure.update_layout(margin_l=10, yaxis_automargin=True, xaxis_gridcolor=GRID)
    if not names:
        figure.add_annotation(text="no known slip", showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper", font_color=INK)
    return figure


def _percent(scores: Sequence[Score]) -> float:
    """Points of all points, in percent."""
    total = sum(score.max for score in scores)
    return 100 * sum(score.points for score in scores) / total if total else 0.0


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(text, 60, max_lines=2, placeholder=" ...")
    return "<br>".join(line.replace("<", "&lt;") for line in lines)
