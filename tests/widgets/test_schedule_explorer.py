"""The explorer of loop schedules: it follows its controls, and shows what the plan says."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.profiles import PROFILES, cost_profile
from labkit.openmp.schedule import KINDS
from labkit.openmp.simulate import simulate_schedule
from labkit.widgets.schedule_explorer import CHUNK_COSTS_S, CHUNK_SIZES, ITERATIONS, ScheduleExplorer


def shown_owners(explorer):
    """By the map: the row that is coloured in each column."""
    z = np.asarray(explorer.map.data[0].z, float)
    assert (np.isfinite(z).sum(axis=0) == 1).all()
    return np.isfinite(z).argmax(axis=0).tolist()


def owners(run):
    return np.repeat(run.thread_nums, run.stops - run.starts).tolist()


def test_explorer_follows_its_controls():
    explorer = ScheduleExplorer("static", 4, num_iterations=64, profile="linear")
    assert shown_owners(explorer) == [i // 16 for i in range(64)]
    explorer.chunk_size.value = 2
    assert shown_owners(explorer) == [i // 2 % 4 for i in range(64)]
    assert explorer.map.layout.title.text == "<b>static,2</b>: 64 iterations in 32 chunks on 4 threads"
    explorer.kind.value = "dynamic"
    explorer.chunk_cost.value = 3e-6
    expected = simulate_schedule("dynamic,2", cost_profile("linear", 64, 1e-5), 4, chunk_s=3e-6)
    assert shown_owners(explorer) == owners(expected)
    assert explorer.gantt.data[1].name == "taking a chunk"
    assert sum(explorer.gantt.data[1].x) == pytest.approx(32 * 3)  # µs
    explorer.num_threads.value = 64
    assert len(explorer.map.data[0].z) == 64 and "on 64 threads" in explorer.gantt.layout.title.text
    explorer.profile.value = "even"
    explorer.num_iterations.value = 16
    assert explorer.run.iterations_of_threads.tolist() == [2] * 8 + [0] * 56
    assert "a thread executes 0 to 2 iterations" in explorer.numbers.value


def test_the_numbers_are_those_of_the_run():
    explorer = ScheduleExplorer("static", 4, num_iterations=1_000, profile="linear")
    assert "No schedule takes less than <b>2.5 ms</b> (all work divided evenly)" in explorer.numbers.value
    run = simulate_schedule("static", cost_profile("linear", 1_000, 1e-5), 4)
    assert f"takes <b>{run.duration_s * 1e3:.3g} ms</b>" in explorer.numbers.value
    assert f"Load imbalance <b>{run.load_imbalance:.2f}</b>" in explorer.numbers.value
    assert "4 chunks" in explorer.numbers.value
    assert "efficiency <b>57%</b>" in explorer.numbers.value
    explorer.num_threads.value, explorer.num_iterations.value = 64, 16
    assert "<b>18.8 µs</b> (the longest iteration)" in explorer.numbers.value  # 16 * 10 µs / 8.5


def test_auto_has_no_chunk_size():
    explorer = ScheduleExplorer("dynamic,8", 2, num_iterations=64)
    explorer.kind.value = "auto"
    assert explorer.chunk_size.disabled and str(explorer.schedule) == "auto"
    assert shown_owners(explorer) == [0] * 32 + [1] * 32
    explorer.kind.value = "guided"
    assert not explorer.chunk_size.disabled and str(explorer.schedule) == "guided,8"
    assert ScheduleExplorer("auto").chunk_size.disabled


@pytest.mark.parametrize("profile", PROFILES)
def test_every_choice_is_a_picture(profile):
    """Every profile with two kinds of schedules, every kind with two profiles at least."""
    explorer = ScheduleExplorer(profile=profile)
    turn = list(PROFILES).index(profile)
    for kind in (KINDS[turn % len(KINDS)], KINDS[(turn + 1) % len(KINDS)]):
        explorer.kind.value = kind
        for n, p, k, cost in (
            (ITERATIONS[0], 1, CHUNK_SIZES[-1], CHUNK_COSTS_S[0]),
            (ITERATIONS[-1], 64, CHUNK_SIZES[1], CHUNK_COSTS_S[-1]),
            (ITERATIONS[3], 7, CHUNK_SIZES[0], CHUNK_COSTS_S[2]),
        ):  # fmt: skip
            explorer.num_iterations.value, explorer.num_threads.value = n, p
            explorer.chunk_size.value, explorer.chunk_cost.value = k, cost
            assert f"{n:,} iterations" in explorer.map.layout.title.text
            assert explorer.gantt.layout.title.text.endswith(" %")
            assert explorer.run.iterations_of_threads.sum() == n


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_threads": 0}, "num_threads is one of 1 to 64, not 0"), ({"num_threads": 65}, "not 65"),
        ({"schedule": "dynamic,3"}, "chunk_size is one of 0, 1, 2, 4"), ({"schedule": "dynamic,0"}, "not 0"),
        ({"schedule": "fast"}, "not 'fast'"), ({"num_iterations": 17}, "num_iterations is one of 16, 64"),
        ({"profile": "odd"}, "profile is one of even, linear"),
    ],
)  # fmt: skip
def test_bad_input(arguments, words):
    with pytest.raises(UsageError) as caught:
        ScheduleExplorer(**arguments)
    assert words in str(caught.value)
