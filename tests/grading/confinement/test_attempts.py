"""What an answer may not do, attempted behind each wall alone and behind all; and what it needs."""

import sys

import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the attempts are system calls of Linux: use Linux to test confinement"
)


def is_refused(outcome):
    """Not by accident: an error of the operating system, of memory or of the import, or a signal of a limit."""
    return outcome.startswith((
        "PermissionError", "FileNotFoundError", "OSError", "ConnectionRefusedError", "ProcessLookupError",
        "BlockingIOError", "MemoryError", "_ArrayMemoryError", "ImportError", "AssertionError", "signal SIGXCPU",
        "signal SIGKILL", "ValueError: not allowed to raise maximum limit",
    ))


def test_attempts_are_real(harm, behind):
    """Without walls each attempt does its harm: the tests below can fail."""
    assert behind(())[0][harm][0] == "done"


def test_attempt(attempt, walls, behind):
    outcomes, folder = behind(walls)
    outcome, output_bytes = outcomes[attempt]
    assert is_refused(outcome), outcome
    assert output_bytes <= 100_000
    outside = folder / "outside" / attempt
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "precious"
    assert "swordfish" not in outcome


def test_need(need, walls, behind):
    assert behind(walls)[0][need][0] == "done"


def test_sentences(behind):
    """Python's rules say what is not allowed."""
    outcomes, folder = behind({"python"})
    new = folder / "outside" / "write a file" / "new"
    assert outcomes["write a file"][0] == f"PermissionError: an answer may not open files for writing: '{new}'"
    assert outcomes["fork"][0] == "PermissionError: an answer may not start other processes: os.fork()"
    assert outcomes["connect"][0] == "PermissionError: an answer may not use the network: socket.getaddrinfo"


def test_limits(behind):
    outcomes, _ = behind(())
    assert "Memory" in outcomes["100 GB"][0]
    assert outcomes["endless loop"][0] == "signal SIGXCPU"
    assert outcomes["endless loop, signals ignored"][0] == "signal SIGKILL"
    assert outcomes["endless output"] == ("OSError: [Errno 27] File too large", 100_000)
