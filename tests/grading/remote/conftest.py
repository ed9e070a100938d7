"""One sandbox for all tests, and answers in it."""

import contextlib

import pytest

from labkit.grading.remote.ranks import RankProcesses, Zygote

SECONDS = 60  # far above what any answer here needs


@pytest.fixture(scope="session")
def zygote():
    with Zygote() as found:
        yield found


@pytest.fixture
def ranks(zygote):
    """``ranks(number, source)``: processes with the answer in them, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(number: int, source: str, *, function="answer", memory_bytes=1 << 30, cpu_seconds=SECONDS, seconds=SECONDS):
            found = stack.enter_context(
                RankProcesses(zygote, number, source, function, memory_bytes=memory_bytes, cpu_seconds=cpu_seconds)
            )
            found.set_deadline(seconds)
            return found

        yield start


def results_of(simulation):
    """What the ranks have returned; raises what went wrong."""
    error = simulation.error()
    if error is not None:
        raise error
    return [rank.result["return"] for rank in simulation.world.ranks]
