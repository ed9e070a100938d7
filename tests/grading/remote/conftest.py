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

        def start(number: int, source: str):
            found = RankProcesses(zygote, number, source, "answer", memory_bytes=1 << 30, cpu_seconds=SECONDS)
            stack.enter_context(found).set_deadline(SECONDS)
            return found

        yield start

