"""The order of what is to come: against a sorted list."""

from hypothesis import given
from hypothesis import strategies as st

from labkit.comm.simulated.agenda import Agenda

STEPS = st.lists(st.one_of(st.integers(0, 5), st.none()), max_size=60)  # a time to add, or None: take the first


@given(STEPS)
def test_the_smallest_goes_first(steps):
    agenda, expected = Agenda(), []
    for number, time in enumerate(steps):
        if time is not None:
            entry = (time, number if number % 3 else -number, object(), None)
            agenda.add(entry)
            expected = sorted([*expected, entry])
        else:
            assert agenda.pop() == (expected.pop(0) if expected else None)
        assert agenda.first() == (expected[0] if expected else None)
        assert len(agenda) == len(expected) and sorted(agenda) == expected
    assert [agenda.pop() for _ in range(len(agenda) + 1)] == [*expected, None]


def test_nothing_is_left_of_what_is_cleared():
    agenda = Agenda()
    for time in (3, 1, 2):
        agenda.add((time, time))
    agenda.clear()
    assert (len(agenda), agenda.first(), agenda.pop(), list(agenda)) == (0, None, None, [])


def test_what_comes_in_order_needs_no_heap():
    agenda = Agenda()
    for number in range(100):
        agenda.add((number // 10, number))
    assert not agenda.heap and [agenda.pop()[1] for _ in range(100)] == list(range(100))
