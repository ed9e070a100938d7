"""Activations and gradients from rank to rank, without waiting to send, and with a word for failures.

Every message has a tag of its own, so receives may be started before they are needed and in any order. A send is
started and left alone until the end of the step: no rank ever waits for one to be received, so a plan without a circle
of dependencies comes to its end, however large its messages are.

A rank that fails tells all others (a *notice*), and whoever waits for a message listens for a notice too. At the end of
a step all ranks exchange one number, so one that has finished its part hears of a later failure as well. Then they
receive what is still under way, and the communicator is as clean as before.
"""

from __future__ import annotations

import os
import pickle
import time

import numpy as np
import torch
from mpi4py import MPI

from labkit.training.data_parallel.counting import CountingComm
from labkit.training.in_pass import PeerFailedError
from labkit.training.recording import Traffic

NOTICE, FIRST_TAG = 0, 1
SPIN_S, SLEEP_S = 2e-4, 2e-5  # a rank that waits lets others have its core soon


class Transport:
    """The messages of one rank. Made by all ranks at once.

    Parameters
    ----------
    comm : communicator
        A duplicate is made.
    device : torch.device
        Where tensors are wanted; messages go through the host's memory.
    """

    def __init__(self, comm, device: torch.device):
        self.rank, self.size, self.device = comm.rank, comm.size, device
        self.owner = getattr(comm, "inner", comm)
        self.comm = CountingComm(self.owner.Dup()) if self.size > 1 else None
        self.sends: list[tuple] = []  # (request, what it sends)
        self.num_sent, self.num_received = np.zeros(self.size, np.int64), np.zeros(self.size, np.int64)
        self.receives: dict[int, tuple] = {}  # id -> (request, source), those under way
        self.is_plain = type(self.owner) in (MPI.Intracomm, MPI.Cartcomm, MPI.Comm)
        self.notice = None
        self._listen()

    @property
    def traffic(self) -> Traffic:
        return self.comm.total if self.comm is not None else Traffic()

    # -- tensors ---------------------------------------------------------------------------------

    def send(self, dest: int, tag: int, tensor: torch.Tensor) -> None:
        """Start to send; the tensor must not change during this step."""
        self._send(dest, tag, _bytes(tensor.detach().contiguous().cpu()))

    def post(self, source: int, tag: int, shape: tuple[int, ...], dtype: torch.dtype) -> Receive:
        """Start to receive a tensor."""
        host = torch.empty(shape, dtype=dtype, pin_memory=self.device.type == "cuda")
        request = self.comm.Irecv(_bytes(host), source, tag)
        self.receives[id(request)] = request, source
        return Receive(self, request, source, host)

    def send_object(self, dest: int, tag: int, value) -> None:
        """Anything that can be pickled: two messages, its length first."""
        data = np.frombuffer(pickle.dumps(value), np.uint8).copy()
        self._send(dest, tag, np.array([len(data)]))
        self._send(dest, tag, data)

    def receive_object(self, source: int, tag: int):
        """What :meth:`send_object` has sent."""
        length = self.post(source, tag, (1,), torch.int64).wait()
        return pickle.loads(self.post(source, tag, (int(length),), torch.uint8).wait().cpu().numpy().tobytes())

    def tidy(self) -> None:
        """Let go of what has been sent."""
        self.sends = [(request, data) for request, data in self.sends if not request.Test()]

    # -- waiting, and failures -------------------------------------------------------------------

    def wait(self, request) -> None:
        """Return when it is complete.

        Raises
        ------
        PeerFailedError
            Another rank says that it has failed.
        """
        if not self.is_plain:
            if type(request).Waitany([request, self.notice]) == 1:
                self._heard()
            return
        started = time.perf_counter()
        while not request.Test():
            if self.notice.Test():
                self._heard()
            if time.perf_counter() - started > SPIN_S:
                time.sleep(SLEEP_S)
            else:
                os.sched_yield()

    def fail(self) -> None:
        """Tell all others that this rank has failed."""
        for dest in range(self.size):
            if dest != self.rank:
                self._send(dest, NOTICE, np.array([self.rank]))

    def close_step(self, has_failed: bool = False) -> None:
        """This rank has come to the end of its part of the step, or has failed. Collective.

        Raises
        ------
        PeerFailedError
            Some rank has failed, also this one.
        """
        if self.size == 1:
            if has_failed:
                raise PeerFailedError("rank 0 failed in this step", ranks=(0,))
            return
        states = np.empty(self.size, np.int64)
        self.comm.Allgather(np.array([int(has_failed)]), states)
        if states.any():
            self._drain()
            ranks = tuple(int(rank) for rank in np.flatnonzero(states))
            raise PeerFailedError(f"rank {ranks[0]} failed in this step", ranks=ranks)
        for request, _ in self.sends:
            self.wait(request)
        self.sends = []

    def close(self) -> None:
        """Give the communicator back."""
        if self.comm is None:
            return
        if self.notice is not None:
            self.notice.Cancel()
            self.notice.Wait()
            self.notice = None
        self.comm.Free()
        self.comm = None

    # -- inside ----------------------------------------------------------------------------------

    def _send(self, dest: int, tag: int, data: np.ndarray) -> None:
        self.num_sent[dest] += 1
        self.sends.append((self.comm.Isend(data, dest, tag), data))

    def _listen(self) -> None:
        if self.size > 1:
            self.word = np.empty(1, np.int64)
            self.notice = self.comm.Irecv(self.word, MPI.ANY_SOURCE, NOTICE)

    def _heard(self) -> None:
        rank = int(self.word[0])
        self.num_received[rank] += 1
        self.notice = None
        raise PeerFailedError(f"rank {rank} failed in this step", ranks=(rank,))

    def _drain(self) -> None:
        """Receive what is under way to this rank, and see that what it has sent is received."""
        for request, source in self.receives.values():
            self._give_up(request, source)
        self.receives = {}
        if self.notice is not None:
            self._give_up(self.notice, None)
        expected = np.empty_like(self.num_sent)
        self.comm.Alltoall(self.num_sent, expected)
        for source in range(self.size):
            for _ in range(int(expected[source] - self.num_received[source])):
                status = MPI.Status()
                self.comm.Probe(source, MPI.ANY_TAG, status)
                self.comm.Recv(np.empty(status.Get_count(MPI.BYTE), np.uint8), source, status.Get_tag())
        for request, _ in self.sends:
            request.Wait()
        self.sends = []
        self.num_sent[:], self.num_received[:] = 0, 0
        self._listen()

    def _give_up(self, request, source: int | None) -> None:
        status = MPI.Status()
        request.Cancel()
        request.Wait(status)
        if not status.Is_cancelled():
            self.num_received[int(self.word[0]) if source is None else source] += 1


class Receive:
    """A tensor on its way."""

    def __init__(self, transport: Transport, request, source: int, host: torch.Tensor):
        self.transport, self.request, self.source, self.host = transport, request, source, host

    def wait(self) -> torch.Tensor:
        """The tensor, once it is here."""
        self.transport.wait(self.request)
        self.transport.receives.pop(id(self.request))
        self.transport.num_received[self.source] += 1
        return self.host.to(self.transport.device)


def _bytes(tensor: torch.Tensor) -> np.ndarray:
    """The memory of a CPU tensor."""
    return tensor.reshape(-1).view(torch.uint8).numpy()
