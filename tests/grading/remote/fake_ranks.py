"""Ranks that speak raw frames to the judge: what a hostile process could do."""

import contextlib
import json
import socket
import struct
import threading

from hypothesis import strategies as st

from labkit.grading.exercise import Case, Exercise
from labkit.grading.judge import _run
from labkit.grading.remote.ranks import RankProcesses
from labkit.grading.remote.wire import Closed, Link

LIMIT_S = 3.0
WORDS = ["array", "type", "counts", "displacements", "at", "dict", "tuple", "object", "scalar", "int"]

odd_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 6) | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["in place", "the same", "SUM", "<f8", "|O8", 2**63, -(2**31)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


def frame(value, *blocks, header_size=None, body_size=None, sizes=None) -> bytes:
    """A frame; sizes that are given may be lies."""
    sizes = [len(block) for block in blocks] if sizes is None else sizes
    header = value if isinstance(value, bytes) else json.dumps([value, sizes]).encode()
    body = b"".join(blocks)
    lengths = (len(header) if header_size is None else header_size, len(body) if body_size is None else body_size)
    return struct.pack(">II", *lengths) + header + body


def call(handle, method, args=(), *blocks, line=1, charges=()) -> bytes:
    return frame(["call", handle, method, list(args), line, list(charges)], *blocks)


def result(value=1, charges=()) -> bytes:
    """The end of a rank, whose function has returned ``value``."""
    return frame(["result", {"dict": [["return", value]]}, list(charges)])


class FakeRanks(RankProcesses):
    """Each rank sends its bytes at once, and reads what comes; a function gets the socket instead."""

    def __init__(self, *scripts):
        pairs = [socket.socketpair() for _ in scripts]
        self.links = [Link(ours) for ours, _ in pairs]
        self.file, self.source = "<mpi cell fake>", ""
        self.threads = []
        for (_, theirs), script in zip(pairs, scripts, strict=True):
            self._begin(_speak, theirs, script)

    def _begin(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        self.threads.append(thread)

    def exit_statuses(self):
        return [None] * len(self.links)

    def close(self):
        for link in self.links:
            link.close()
        for thread in self.threads:
            thread.join(LIMIT_S)


def _speak(sock, script):
    with contextlib.suppress(OSError, Closed), sock:
        if callable(script):
            script(sock)
            return
        reader = threading.Thread(target=_read, args=(sock,), daemon=True)
        reader.start()
        sock.sendall(script)
        sock.shutdown(socket.SHUT_WR)
        reader.join(LIMIT_S * 2)


def _read(sock):
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            pass


def outcome_of(*scripts, num_ranks=None, limit_s=LIMIT_S):
    """What the judge makes of one case with these ranks; 0 ranks for a function without a communicator."""
    number = len(scripts) if num_ranks is None else num_ranks
    case = Case("fake", ((),) * max(1, number), ({"return": 1},) * max(1, number), num_ranks=number)
    exercise = Exercise(
        title="fake", function="f", points=1, cases=lambda: [case], hints=("a", "b", "c"), time_limit_s=limit_s
    )
    with FakeRanks(*scripts) as ranks:
        return _run(exercise, case, ranks)[0]
