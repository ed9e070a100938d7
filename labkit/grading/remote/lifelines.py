"""How real ranks have ended, and which of them by itself.

When one rank ends, MPI's process manager ends the others, and the judge may see those first. So a small process stands
between the process manager and each rank (:mod:`.watched_rank`): it tells the judge how the rank has ended before the
process manager can know.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
import time

from labkit.grading.remote.wire import Closed

GRACE_S = 5.0
BY_OTHERS = (-signal.SIGKILL, -signal.SIGTERM)  # what a process manager ends ranks with


class Lifelines:
    """A connection to the watcher of each rank; when it is closed, the rank ends.

    A watcher says two lines: its rank, and, once that has ended, the exit status as ``subprocess`` says it and the
    time of ``time.monotonic_ns``.
    """

    def __init__(self):
        self._socks: list[socket.socket] = []
        self._heard: list[bytes] = []

    def accept(self, listening: socket.socket, number: int, deadline: float) -> None:
        """Wait until the watchers of so many ranks have connected, and have said their ranks.

        Raises
        ------
        TimeoutError, Closed
            Not before the deadline (of ``time.monotonic``), or one has ended.
        """
        for _ in range(number):
            listening.settimeout(max(0.1, deadline - time.monotonic()))
            self._socks.append(listening.accept()[0])
            self._heard.append(b"")
        for k, sock in enumerate(self._socks):
            while b"\n" not in self._heard[k]:
                sock.settimeout(max(0.1, deadline - time.monotonic()))
                if not self._hear(k):
                    raise Closed

    def _hear(self, k: int) -> bool:
        """Read what is there; whether more may come."""
        try:
            found = self._socks[k].recv(100)
        except ConnectionResetError:
            return False
        self._heard[k] += found
        return bool(found)

    def ends(self) -> list[tuple[float, int, int]]:
        """(When, rank, exit status) of the ranks that are known to have ended, the first one first."""
        lines = [heard.decode().split("\n") for heard in self._heard]
        words = [(int(rank), *map(int, end.split())) for rank, end, *rest in lines if rest]
        return sorted((time_ns / 1e9, rank, status) for rank, status, time_ns in words)

    def first_to_end(self, rank: int) -> int:
        """The rank that has ended by itself, given one whose connection is closed: that one, if no other is known."""
        deadline = time.monotonic() + GRACE_S
        with selectors.DefaultSelector() as selector:
            for k, sock in enumerate(self._socks):
                selector.register(sock, selectors.EVENT_READ, k)
            while selector.get_map():
                is_known = any(status not in BY_OTHERS for _, _, status in self.ends())
                ready = selector.select(0 if is_known else max(0.0, deadline - time.monotonic()))
                if not ready:
                    break
                for key, _ in ready:
                    if not self._hear(key.data):
                        selector.unregister(key.fileobj)
        found = self.ends()
        by_itself = [rank for _, rank, status in found if status not in BY_OTHERS]
        return (by_itself or [rank for _, rank, _ in found] or [rank])[0]

    def close(self) -> None:
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.close()
