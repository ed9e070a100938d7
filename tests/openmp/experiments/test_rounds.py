"""Measuring in rounds: order, bounds, and what is told."""

import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments.rounds import clocked, in_rounds


def recorder():
    calls = []

    def action(name, duration_s):
        def once():
            calls.append(name)
            return duration_s

        return once

    return calls, action


def test_actions_are_done_in_turn_after_one_that_is_not_counted():
    calls, action = recorder()
    times_s, _ = in_rounds({"a": action("a", 1.0), "b": action("b", 2.0)}, 3, limit_s=100)
    assert calls == ["a", "b"] * 4
    assert times_s["a"].tolist() == [1.0] * 3 and times_s["b"].tolist() == [2.0] * 3


def test_the_first_round_is_always_done_and_none_is_begun_after_the_limit():
    calls, action = recorder()
    times_s, _ = in_rounds({"a": action("a", 1.0)}, 50, limit_s=0)
    assert len(times_s["a"]) == 1 and len(calls) == 2


def test_progress_is_told_and_may_stop_it():
    told = []

    def progress(text):
        told.append(text)
        if "round 3" in text:
            raise KeyboardInterrupt

    calls, action = recorder()
    with pytest.raises(KeyboardInterrupt):
        in_rounds({"a": action("a", 1.0)}, 4, limit_s=100, progress=progress, what="this")
    assert told == ["this: getting ready ...", *(f"this: round {k} of 4 ..." for k in (1, 2, 3))]
    assert len(calls) == 3


@pytest.mark.parametrize("num_rounds", [0, -1, 2.5, True, 10_001])
def test_wrong_numbers_of_rounds(num_rounds):
    with pytest.raises(UsageError, match="num_rounds is a whole number, 1 to 10000, not"):
        in_rounds({}, num_rounds, limit_s=1)


def test_clocked_calls_once():
    calls, action = recorder()
    assert clocked(action("a", 1.0)) >= 0 and calls == ["a"]
