"""A real MPI rank that runs answers: ``mpiexec -n P python -m labkit.grading.remote.real_rank SOCKET END``.

Every rank connects to the judge, hears an answer and its own arguments, and nothing of the others'.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from pathlib import Path

import numpy as np  # noqa: F401
from mpi4py import MPI

from labkit.grading.confinement.confine import confine
from labkit.grading.confinement.seccomp import Level
from labkit.grading.remote.wire import UNLIMITED, Link
from labkit.grading.remote.zygote import serve


def end_with(sock: socket.socket) -> None:
    """This process ends when the other end of a connection is closed, also by the end of its process.

    Without bubblewrap nobody else would end a rank that computes for ever; outside Linux, the limit on its processor
    time does.
    """
    if sys.platform.startswith("linux"):
        fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sock, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | os.O_ASYNC)


def main(path: str, end_path: str) -> None:
    """Connect, be confined, and answer the judge's orders."""
    world = MPI.COMM_WORLD
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    link = Link(sock, UNLIMITED)
    link.send(["hello", world.rank, world.size])
    lifeline = socket.socket(socket.AF_UNIX)
    lifeline.connect(end_path)
    end_with(lifeline)
    (_, sizes, options), _ = link.receive()
    comms = {size: world.Split(0 if world.rank < size else MPI.UNDEFINED, world.rank) for size in sizes}
    for comm in comms.values():  # the library has opened what it needs
        if comm != MPI.COMM_NULL:
            comm.Barrier()
    sink = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # what an answer prints is not read
        os.dup2(sink, standard)
    confine(
        Level.REAL_RANK, readable=[Path(p) for p in options["readable"]], hidden=[Path(p) for p in options["hidden"]],
        memory_bytes=options["memory_bytes"], cpu_seconds=options["cpu_seconds"],
    )
    link.send(["confined"])
    serve(link, comm_of=lambda rank, size: comms[size])
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
