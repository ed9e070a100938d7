"""Options of the magics: understood, or refused in one sentence."""

import pytest

from labkit.errors import UsageError
from labkit.magics.mpi import _cell_options
from labkit.magics.options import check_names, parse_ranks


@pytest.mark.parametrize(
    ("text", "ranks"), [("0", [0]), ("0,2", [0, 2]), ("1-3", [1, 2, 3]), ("3,0-1,0", [0, 1, 3])]
)
def test_ranks(text, ranks):
    assert parse_ranks(text, 4) == ranks


@pytest.mark.parametrize("text", ["", "4", "9", "-1", "a", "0,", "1-x", "2-1", "0;1"])
def test_wrong_ranks(text):
    with pytest.raises(UsageError) as caught:
        parse_ranks(text, 4)
    assert "\n" not in str(caught.value) and f"--ranks {text}" in str(caught.value)


@pytest.mark.parametrize(
    "line", ["--what", "-n", "-n many", "-n 2.5", "--timeout soon", "--timeout 0", "--timeout -3", "--timeout inf",
             "--timeout nan", "extra", "--trac", "'unclosed"],
)
def test_wrong_lines(line):
    with pytest.raises(UsageError) as caught:
        _cell_options.parse_line(line)
    assert "\n" not in str(caught.value) and "Usage: %%mpi" in str(caught.value)


def test_right_lines():
    options = _cell_options.parse_line("-n 3 --ranks 0,2 --timeout 1.5 --trace --check-unsafe-sends")
    assert (options.n, options.ranks, options.timeout) == (3, "0,2", 1.5)
    assert options.trace and options.check_unsafe_sends
    assert _cell_options.parse_line("").n is None
    assert _cell_options.parse_line("-n 2  # a comment").n == 2


def test_names():
    assert check_names(["a,b", "c"], "%m") == ["a", "b", "c"]
    for wrong in ([], ["2x"], ["a.b"]):
        with pytest.raises(UsageError, match="%m"):
            check_names(wrong, "%m")
