"""The course as a map: a card a lesson, with how much of its quiz, flashcards and exercises is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.views.theme import GRID, INK, KIND_COLOURS, SERIES, base_layout

WIDTH, HEIGHT, GAP = 1.0, 1.0, 0.10  # of a card, and between two
ROW = HEIGHT + 0.42  # a row with the name of its part
BAR_COLOURS = {"quiz": SERIES[0], "cards": SERIES[4], "exercises": SERIES[2]}
DONE_COLOUR = KIND_COLOURS["recv"]
FILL, FILL_DONE = "rgba(128,128,128,0.08)", "rgba(0,158,115,0.14)"


@dataclass(frozen=True, slots=True)
class Station:
    """A lesson on the map. Pairs are (done, of): points of the quiz, cards, exercises; ``(0, 0)`` is none.

    Attributes
    ----------
    number, title, part : str
        ``"04"``, ``"Point to point"``, and the row that it is in.
    exists : bool
        Whether the lesson has been written.
    visited : bool
    quiz, cards, exercises : tuple of float
    """

    number: str
    title: str
    part: str
    exists: bool = True
    visited: bool = False
    quiz: tuple[float, float] = (0, 0)
    cards: tuple[float, float] = (0, 0)
    exercises: tuple[float, float] = (0, 0)

    @property
    def done(self) -> bool:
        """Whether everything that there is has been done."""
        given = [pair for pair in (self.quiz, self.cards, self.exercises) if pair[1]]
        return self.exists and bool(given) and all(part >= whole for part, whole in given)


@dataclass(frozen=True, slots=True)
class Bar:
    """A line of a card: what is done, as a share of the width; its words."""

    kind: str
    y: float
    share: float
    words: str


@dataclass(frozen=True, slots=True)
class PlacedCard:
    """A card with its lower left corner; y grows upwards."""

    station: Station
    x: float
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class CourseMapLayout:
    """Cards, the names of the rows with their height, and the line from card to card."""

    cards: tuple[PlacedCard, ...]
    parts: tuple[tuple[str, float], ...]
    columns: int


def course_map_layout(stations: Sequence[Station]) -> CourseMapLayout:
    """A row a part, in the order of the lessons, from the top."""
    parts = list(dict.fromkeys(station.part for station in stations))
    columns, cards = [0] * len(parts), []
    for station in stations:
        row = parts.index(station.part)
        cards.append(PlacedCard(station, columns[row] * (WIDTH + GAP), -row * ROW - HEIGHT, _bars(station)))
        columns[row] += 1
    names = tuple((part, -row * ROW) for row, part in enumerate(parts))
    return CourseMapLayout(tuple(cards), names, max(columns, default=0))


def _bars(station: Station) -> tuple[Bar, ...]:
    pairs = [("quiz", station.quiz), ("cards", station.cards), ("exercises", station.exercises)]
    return tuple(
        Bar(kind, 0.48 - 0.165 * k, min(1.0, done / whole), f"{done:.3g}/{whole:.3g}")
        for k, (kind, (done, whole)) in enumerate(pair for pair in pairs if pair[1][1])
    )


def course_map_sentence(stations: Sequence[Station]) -> str:
    """The map in words, with what could come next."""
    known = [station for station in stations if station.exists]
    points, maximum = (sum(station.quiz[k] for station in known) for k in (0, 1))
    words = f"{points:.3g} of {maximum:.3g} points in the quizzes so far."
    following = next((station for station in known if not station.done), None)
    if following is None:
        return words + " Everything that there is has been done."
    verb = "Go on with" if following.visited else "Next:"
    return f"{words} {verb} {following.number} {following.title}."


def course_map_figure(stations: Sequence[Station]) -> go.Figure:
    """The figure of the map; lessons that are still to be written are dashed."""
    layout = course_map_layout(stations)
    right = layout.columns * (WIDTH + GAP) - GAP
    bottom = min((card.y for card in layout.cards), default=-1)
    figure = go.Figure(layout=base_layout("Your course", round(95 + 128 * -bottom)))
    shapes, notes = [], []
    for name, y in layout.parts:
        notes.append(_note(0, y + 0.15, f"<i>{name}</i>", size=12))
    for card in layout.cards:
        shapes += _card_shapes(card)
        notes += _card_notes(card)
    figure.add_trace(_points(layout))
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        shapes=shapes, annotations=notes, showlegend=False, dragmode=False, hovermode="closest",
        xaxis=hidden | {"range": [-0.03, right + 0.03]}, yaxis=hidden | {"range": [bottom - 0.05, 0.3]},
        margin={"l": 10, "r": 10, "t": 44, "b": 8},
    )
    return figure


def _card_shapes(card: PlacedCard) -> list[dict]:
    station = card.station
    colour = DONE_COLOUR if station.done else SERIES[0] if station.visited else INK
    frame = {
        "type": "rect", "x0": card.x, "x1": card.x + WIDTH, "y0": card.y, "y1": card.y + HEIGHT, "layer": "below",
        "fillcolor": (FILL_DONE if station.done else FILL) if station.exists else "rgba(0,0,0,0)",
        "line": {"color": colour if station.exists else GRID, "width": 2 if station.visited else 1},
    }
    if not station.exists:
        frame["line"]["dash"] = "dash"
    shapes = [frame]
    for bar in card.bars:
        line = {"type": "rect", "y0": card.y + bar.y - 0.075, "y1": card.y + bar.y - 0.03, "line": {"width": 0}}
        start, length = card.x + 0.06, WIDTH - 0.12
        shapes.append(line | {"x0": start, "x1": start + length, "fillcolor": GRID})
        if bar.share:
            shapes.append(line | {"x0": start, "x1": start + length * bar.share, "fillcolor": BAR_COLOURS[bar.kind]})
    return shapes


def _card_notes(card: PlacedCard) -> list[dict]:
    station, top = card.station, card.y + HEIGHT
    notes = [
        _note(card.x + 0.06, top - 0.14, f"<b>{station.number}</b>", size=13),
        _note(card.x + 0.06, top - 0.32, station.title, size=12),
    ]
    state = "done" if station.done else "opened" if station.visited else "" if station.exists else "to come"
    if state:
        notes.append(_note(card.x + WIDTH - 0.06, top - 0.14, state, size=10, anchor="right"))
    for bar in card.bars:
        notes.append(_note(card.x + 0.06, card.y + bar.y + 0.035, bar.kind, size=10))
        notes.append(_note(card.x + WIDTH - 0.06, card.y + bar.y + 0.035, bar.words, size=10, anchor="right"))
    return notes


def _note(x: float, y: float, text: str, *, size: int, anchor: str = "left") -> dict:
    return {
        "x": x, "y": y, "text": text, "showarrow": False, "xanchor": anchor, "yanchor": "middle",
        "font": {"size": size, "color": INK}, "borderpad": 0,
    }


def _points(layout: CourseMapLayout) -> go.Scatter:
    """Nothing to see: where the pointer finds the words about a lesson."""
    return go.Scatter(
        x=[card.x + WIDTH / 2 for card in layout.cards], y=[card.y + HEIGHT / 2 for card in layout.cards],
        mode="markers", marker={"size": 60, "opacity": 0}, hoverinfo="text",
        hovertext=[_hover(card.station) for card in layout.cards],
    )


def _hover(station: Station) -> str:
    lines = [f"<b>{station.number} {station.title}</b>"]
    if not station.exists:
        return f"{lines[0]}<br>still to come"
    names = ("points in the quiz", "flashcards known", "exercises passed")
    pairs = zip(names, (station.quiz, station.cards, station.exercises), strict=True)
    lines += [f"{done:.3g} of {whole:.3g} {name}" for name, (done, whole) in pairs if whole]
    return "<br>".join(lines)
