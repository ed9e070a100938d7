"""What the tests of kernels share."""

import pytest

TIMES = 500  # far more than a race needs to show, and a bound


@pytest.fixture
def seen_wrong():
    """``seen_wrong(ladder, run, expected)``: whether ``run()`` gives a wrong result at least once in many times."""

    def look(ladder, run, expected):
        return any(not ladder.is_right(run(), expected) for _ in range(TIMES))

    return look
