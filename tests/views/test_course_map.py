"""The map of the course: where the cards are, how long their bars, and what is said."""

import pytest

from labkit.views.course_map import HEIGHT, WIDTH, Station, course_map_figure, course_map_layout, course_map_sentence

STATIONS = (
    Station("00", "Start", "first", True, True, (7, 7), (11, 11)),
    Station("01", "Next", "first", True, True, (3.5, 7), (2, 8), (1, 4)),
    Station("02", "Later", "second", True, False, (0, 5)),
    Station("03", "Never", "second", False),
    Station("04", "Empty", "second", True),
)


def test_a_row_is_a_part_and_cards_do_not_overlap():
    layout = course_map_layout(STATIONS)
    assert [name for name, _ in layout.parts] == ["first", "second"] and layout.columns == 3
    assert [card.station for card in layout.cards] == list(STATIONS)
    assert layout.cards[0].y == layout.cards[1].y > layout.cards[2].y == layout.cards[4].y
    assert [card.x for card in layout.cards[2:]] == sorted(card.x for card in layout.cards[2:])
    for one in layout.cards:
        for other in layout.cards:
            apart = abs(one.x - other.x) > WIDTH or abs(one.y - other.y) > HEIGHT
            assert one is other or apart
    for (_, y), below in zip(layout.parts, (layout.cards[0], layout.cards[2]), strict=True):
        assert y == pytest.approx(below.y + HEIGHT)  # a part's name stands above its row


def test_bars_are_shares_and_what_does_not_exist_has_none():
    bars = [{bar.kind: (bar.share, bar.words) for bar in card.bars} for card in course_map_layout(STATIONS).cards]
    assert bars[0] == {"quiz": (1, "7/7"), "cards": (1, "11/11")}
    assert bars[1] == {"quiz": (0.5, "3.5/7"), "cards": (0.25, "2/8"), "exercises": (0.25, "1/4")}
    assert bars[2:] == [{"quiz": (0, "0/5")}, {}, {}]
    for card in course_map_layout(STATIONS).cards:
        assert all(0.13 < bar.y < 0.6 for bar in card.bars)  # below the title, clear of the lower edge
    assert [station.done for station in STATIONS] == [True, False, False, False, False]


def test_the_figure_draws_the_layout():
    figure = course_map_figure(STATIONS)
    frames = [shape for shape in figure.layout.shapes if shape.line.width]
    assert len(frames) == 5 and [frame.line.dash for frame in frames] == [None, None, None, "dash", None]
    assert len({frame.line.color for frame in frames[:3]}) == 3  # done, opened, not opened
    words = [note.text for note in figure.layout.annotations]
    assert words.count("to come") == 1 and words.count("done") == 1 and words.count("opened") == 1 and "3.5/7" in words
    layout = course_map_layout(STATIONS)
    filled = [shape for shape in figure.layout.shapes if not shape.line.width]
    widths = sorted(round(shape.x1 - shape.x0, 6) for shape in filled)
    whole = WIDTH - 0.12
    shares = [bar.share for card in layout.cards for bar in card.bars]
    assert widths == sorted(round(whole * share, 6) for share in [*shares, *[1] * len(shares)] if share)
    low, high = figure.layout.xaxis.range
    assert low < 0 and high > max(card.x for card in layout.cards) + WIDTH
    assert "still to come" in figure.data[0].hovertext[3] and "3.5 of 7 points" in figure.data[0].hovertext[1]
    assert course_map_figure(()).data[0].x == ()


def test_the_sentence_says_what_comes_next():
    assert course_map_sentence(STATIONS) == "10.5 of 19 points in the quizzes so far. Go on with 01 Next."
    assert course_map_sentence(STATIONS[2:4]) == "0 of 5 points in the quizzes so far. Next: 02 Later."
    assert course_map_sentence(STATIONS[:1]).endswith("Everything that there is has been done.")
