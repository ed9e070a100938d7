"""Figures of a class: the numbers in them, counted another way."""

import numpy as np

from labkit.views.scores import (
    NUM_BINS,
    STATUS_COLOURS,
    Score,
    questions_figure,
    scores_layout,
    slips_figure,
    totals_figure,
)


def scores(num_students=40, seed=1):
    random = np.random.default_rng(seed)
    statuses = list(STATUS_COLOURS)
    found = []
    for student in range(num_students):
        for exercise, most in (("t/a", 2.0), ("t/b", 3.0), ("u/c", 5.0)):
            status = statuses[random.integers(len(statuses))]
            slip = ["", "off by one", "forgot <the> root"][random.integers(3)] if status == "incorrect" else ""
            found.append(Score(f"s{student}", exercise, most if status == "passed" else 0.0, most, status, slip))
    return found


def test_counts_and_means_against_plain_counting():
    found = scores()
    layout = scores_layout(found)
    assert layout.exercises == ("t/a", "t/b", "u/c")
    for status, numbers in layout.counts.items():
        for exercise, number in zip(layout.exercises, numbers, strict=True):
            assert number == sum(s.status == status and s.exercise == exercise for s in found)
    assert sum(map(sum, layout.counts.values())) == len(found)
    for exercise, mean in zip(layout.exercises, layout.means, strict=True):
        points = [s.points / s.max for s in found if s.exercise == exercise]
        assert abs(mean - 100 * np.mean(points)) < 1e-9


def test_totals_against_numpy():
    found = scores()
    percents = [sum(s.points for s in found if s.student == f"s{i}") * 10 for i in range(40)]
    expected, _ = np.histogram(percents, bins=NUM_BINS, range=(0, 100))
    assert scores_layout(found).bins == tuple(expected)
    assert tuple(totals_figure(found).data[0].y) == tuple(expected)


def test_the_most_common_slips_come_first():
    found = scores()
    slips = scores_layout(found).slips
    numbers = [number for _, _, number in slips]
    assert numbers == sorted(numbers, reverse=True)
    assert sum(numbers) == sum(bool(s.slip) for s in found)
    figure = slips_figure(found)
    assert list(figure.data[0].x) == numbers
    assert not any("<the>" in name for name in figure.data[0].y)


def test_the_figure_of_questions_has_a_bar_for_each_status():
    found = scores()
    figure = questions_figure(found)
    assert [bar.name for bar in figure.data] == list(scores_layout(found).counts)
    assert np.sum([bar.x for bar in figure.data], axis=0).tolist() == [40, 40, 40]


def test_unknown_statuses_are_counted_too():
    assert scores_layout([Score("a", "t/a", 0, 1, "eaten by a dog")]).counts == {"eaten by a dog": (1,)}


def test_nobody():
    for figure in (questions_figure([]), totals_figure([]), slips_figure([])):
        assert figure.layout.title.text
