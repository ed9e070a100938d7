"""A real MPI rank that runs answers, forked by :mod:`.watched_rank`.

Every rank connects to the judge, hears an answer and its own arguments, and nothing of the others'.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np  # noqa: F401
from mpi4py import MPI

from labkit.grading.confinement.confine import confine
from labkit.grading.confinement.limits import end_with_the_parent
from labkit.grading.confinement.seccomp import Level
from labkit.grading.remote.wire import UNLIMITED, Link
from labkit.grading.remote.zygote import serve


def main(path: str, lifeline: socket.socket) -> None:
    """Say the rank, connect, be confined, and answer the judge's orders."""
    end_with_the_parent()
    world = MPI.COMM_WORLD
    lifeline.sendall(f"{world.rank}\n".encode())
    lifeline.close()  # the watcher has it, too
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    link = Link(sock, UNLIMITED)
    link.send(["hello", world.rank, world.size])
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
