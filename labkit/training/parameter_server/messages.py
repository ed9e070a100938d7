"""Servers and workers that send each other messages: two-sided, on any communicator.

A request is a header of three numbers (what, the worker's clock, its share of the batch); a push has its gradient in a
second message. An answer is the block of weights, with two numbers after it. A server answers when its rule allows, so
a worker that is too far ahead simply waits in its pull.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.training.parameter_server.shard_server import Answer, ShardServer

PULL, PUSH, FINISH = range(3)
REQUEST_TAG, GRADIENT_TAG, WEIGHTS_TAG, VERSION_TAG = range(4)


class Spares:
    """Arrays for gradients that come in, used again and again."""

    def __init__(self, num_elements: int, dtype):
        self._shape, self._dtype = num_elements, dtype
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """One that is free, or a new one."""
        return self._free.pop() if self._free else np.empty(self._shape, self._dtype)

    def give_back(self, array: np.ndarray) -> None:
        """Nobody needs its contents any more."""
        self._free.append(array)


def serve(comm, server: ShardServer, weights: np.ndarray, spares: Spares) -> None:
    """Answer requests until every worker has finished or is lost.

    Parameters
    ----------
    comm : Communicator
    server : ShardServer
        Its ``apply`` changes ``weights``, its ``release`` is that of ``spares``.
    weights : ndarray, 1-D
        The server's block.
    spares : Spares
    """
    header, status = np.empty(3), MPI.Status()
    while len(server.clocks):
        comm.Recv(header, MPI.ANY_SOURCE, REQUEST_TAG, status)
        worker, (kind, clock, share) = status.Get_source(), header.tolist()
        if kind == PULL:
            answers = server.pull(worker)
        elif kind == PUSH:
            gradient = spares.take()
            comm.Recv(gradient, worker, GRADIENT_TAG)
            answers = server.push(worker, int(clock), gradient, share)
        else:
            answers = server.finish(worker)
        for answer in answers:
            _send(comm, answer, weights)
    server.flush()


def _send(comm, answer: Answer, weights: np.ndarray) -> None:
    comm.Send(weights, answer.worker, WEIGHTS_TAG)
    comm.Send(np.array([answer.version, answer.num_missing], np.int64), answer.worker, VERSION_TAG)


class MessageClient:
    """A worker's side of it.

    Parameters
    ----------
    comm : Communicator
    servers : sequence of int
        Their ranks.
    bounds : sequence of (int, int)
        Start and stop of their blocks.
    """

    def __init__(self, comm, servers, bounds):
        self._comm, self._servers, self._bounds = comm, tuple(servers), tuple(bounds)
        self._header = np.empty(3)

    def pull(self, weights: np.ndarray, clock: int) -> tuple[int, int]:
        """Fill ``weights``, all blocks; wait as long as the rule demands.

        Returns
        -------
        version, num_missing : int
            The least of the servers', and the largest: see :class:`Answer`.
        """
        notes = np.empty((len(self._servers), 2), np.int64)
        requests = []
        for server, (start, stop), note in zip(self._servers, self._bounds, notes, strict=True):
            requests.append(self._comm.Irecv(weights[start:stop], server, WEIGHTS_TAG))
            requests.append(self._comm.Irecv(note, server, VERSION_TAG))
        self._tell(PULL, clock)
        type(requests[0]).Waitall(requests)
        return int(notes[:, 0].min()), int(notes[:, 1].max())

    def push(self, gradient: np.ndarray, clock: int, share: float) -> None:
        """Send each server its block of the gradient."""
        self._tell(PUSH, clock, share)
        requests = [
            self._comm.Isend(gradient[start:stop], server, GRADIENT_TAG)
            for server, (start, stop) in zip(self._servers, self._bounds, strict=True)
        ]
        type(requests[0]).Waitall(requests)

    def finish(self) -> None:
        """This worker needs nothing more."""
        self._tell(FINISH)

    def _tell(self, kind: int, clock: int = 0, share: float = 0.0) -> None:
        self._header[:] = kind, clock, share
        for server in self._servers:
            self._comm.Send(self._header, server, REQUEST_TAG)
