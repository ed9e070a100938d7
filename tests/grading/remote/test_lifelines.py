"""Which rank ended by itself, from what watchers say in any order."""

import socket
import threading
import time

import pytest

from labkit.grading.remote.lifelines import Lifelines
from labkit.grading.remote.wire import Closed


@pytest.fixture
def watched(tmp_path):
    """(Lifelines of four ranks, the watchers' ends by rank); the watchers have connected in another order."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "end"))
    listening.listen(4)
    watchers = {}
    for rank in (2, 0, 3, 1):
        watchers[rank] = socket.socket(socket.AF_UNIX)
        watchers[rank].connect(str(tmp_path / "end"))
        watchers[rank].sendall(f"{rank}\n".encode())
    lines = Lifelines()
    lines.accept(listening, 4, time.monotonic() + 30)
    yield lines, watchers
    lines.close()
    for sock in (listening, *watchers.values()):
        sock.close()


def say(sock, status: int, time_s: float) -> None:
    sock.sendall(f"{status} {int(time_s * 1e9)}\n".encode())
    sock.close()


@pytest.mark.parametrize(
    ("said", "rank", "statuses"),
    [
        ({0: (-9, 1.0), 1: (3, 2.0)}, 1, [-9, 3, None, None]),  # whoever was killed did not end by itself
        ({0: (1, 2.0), 3: (0, 1.0)}, 3, [1, None, None, 0]),  # two ended by themselves: the first one
        ({0: (-15, 3.0), 1: (-9, 2.0), 2: (-9, 1.0)}, 2, [-15, -9, -9, None]),  # killed from outside: the first one
        ({}, 0, [None] * 4),  # the watchers have been killed
    ],
)
def test_the_first_that_ended_by_itself(watched, said, rank, statuses):
    lines, watchers = watched
    for who, words in said.items():
        say(watchers[who], *words)
    for who in set(watchers) - set(said):
        watchers[who].close()
    assert lines.first_to_end(0) == rank
    assert [{who: status for _, who, status in lines.ends()}.get(who) for who in range(4)] == statuses


def test_what_is_said_a_moment_later_counts(watched):
    """The connections of a rank that ends are closed before its watcher knows of it; others may live on."""
    lines, watchers = watched
    watchers[0].close()
    later = threading.Timer(0.3, say, (watchers[2], -11, 1.0))
    later.start()
    assert lines.first_to_end(0) == 2
    later.join()


def test_a_watcher_that_ends_before_its_rank_has_begun(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as watcher:
        listening.bind(str(tmp_path / "end"))
        listening.listen(1)
        watcher.connect(str(tmp_path / "end"))
        watcher.sendall(b"0")
        watcher.shutdown(socket.SHUT_WR)
        lines = Lifelines()
        with pytest.raises(Closed):
            lines.accept(listening, 1, time.monotonic() + 30)
        lines.close()
