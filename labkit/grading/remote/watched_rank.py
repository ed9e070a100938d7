"""What ``mpiexec`` starts for a real rank: ``python -m labkit.grading.remote.watched_rank SOCKET END``.

This process forks the rank, waits for it, and tells the judge how it has ended; only then it ends itself. As it holds
MPI's own connections open until then, the judge knows which rank has ended before the process manager ends the others.
It executes nothing of an answer, and what it imports is small.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time


def main(path: str, end_path: str) -> None:
    """Be the rank, or watch it."""
    lifeline = socket.socket(socket.AF_UNIX)
    lifeline.connect(end_path)
    rank = os.fork()
    if rank:
        watch(rank, lifeline)
    from labkit.grading.remote import real_rank

    real_rank.main(path, lifeline)


def watch(rank: int, lifeline: socket.socket) -> None:
    """Wait for the rank, and end it when the judge closes the connection, also by the end of its own process.

    Without bubblewrap nobody else would end a rank that computes for ever.
    """

    def end_with_the_judge():
        with contextlib.suppress(OSError):
            lifeline.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(rank, signal.SIGKILL)

    threading.Thread(target=end_with_the_judge, daemon=True).start()
    _, found = os.waitpid(rank, 0)
    status = os.waitstatus_to_exitcode(found)
    with contextlib.suppress(OSError):
        lifeline.sendall(f"{status} {time.monotonic_ns()}\n".encode())
    os._exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main(*sys.argv[1:])
