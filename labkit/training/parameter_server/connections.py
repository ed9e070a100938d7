"""Servers and workers that are processes of their own, with connections that break when one dies.

Under MPI the death of a rank ends all of them (MPICH), so faults need another carrier. Here every server listens at an
address, a worker that is gone is a connection that has ended, and a server that is gone is replaced:

by its replica
    A second process runs the same state machine. The server sends it every event before it acts on it, so the replica
    knows at least what any worker has seen; when the connection to the server ends, it takes over.
by itself
    Started again from its last checkpoint, at the same address. Gradients that came after the checkpoint are lost.

A worker whose connection ends tries the addresses in turn, says hello with its clock, and repeats what had not been
answered; a push that had arrived changes nothing the second time.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener

import numpy as np

from labkit.errors import NotAvailableError
from labkit.training.parameter_server.shard_server import Answer, ShardServer

BROKEN = (EOFError, OSError)
RETRY_S = 0.02
START_S = 60.0  # processes that start may take so long, on a busy machine


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a server must act on.

    Attributes
    ----------
    kind : str
        ``hello``, ``pull``, ``push``, ``finish``, or ``lost``: the connection has ended.
    worker : int
    clock : int
    share : float
    gradient : ndarray or None
        Of a push.
    """

    kind: str
    worker: int
    clock: int = 0
    share: float = 0.0
    gradient: np.ndarray | None = None


def send_event(connection: Connection, event: Event) -> None:
    """Send one; the gradient of a push as bytes behind it."""
    connection.send((event.kind, event.worker, event.clock, event.share))
    if event.gradient is not None:
        connection.send_bytes(memoryview(event.gradient).cast("B"))


def receive_event(connection: Connection, dtype) -> Event:
    """Receive one; an error of ``BROKEN`` if the connection ends before it is whole."""
    kind, worker, clock, share = connection.recv()
    gradient = np.frombuffer(bytearray(connection.recv_bytes()), dtype) if kind == "push" else None
    return Event(kind, worker, clock, share, gradient)


class Inbox:
    """What arrives at a server from all workers, in one row; every connection has a thread that reads it."""

    def __init__(self, address: str, authkey: bytes, dtype):
        self.events: queue.Queue[Event] = queue.Queue()
        self.connections: dict[int, Connection] = {}
        self._dtype, self._is_open = dtype, True
        self._listener = Listener(address, backlog=64, authkey=authkey)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self._is_open:
            with contextlib.suppress(*BROKEN, AuthenticationError):  # of somebody who died while calling
                connection = self._listener.accept()
                threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: Connection) -> None:
        worker = None
        with contextlib.suppress(*BROKEN):
            while True:
                event = receive_event(connection, self._dtype)
                if worker is None:
                    worker = event.worker
                    self.connections[worker] = connection
                self.events.put(event)
        if worker is not None and self.connections.get(worker) is connection:
            self.events.put(Event("lost", worker))

    def close(self) -> None:
        """Take no new connections, end those there are."""
        self._is_open = False
        self._listener.close()
        for connection in self.connections.values():
            connection.close()


def act(server: ShardServer, event: Event) -> list[Answer]:
    """Let the state machine deal with an event."""
    if event.kind == "push":
        return server.push(event.worker, event.clock, event.gradient, event.share)
    if event.kind == "hello":
        return server.greet(event.worker, event.clock)
    return {"pull": server.pull, "finish": server.finish, "lost": server.lose}[event.kind](event.worker)


def follow(
    server: ShardServer, primary: Connection, dtype, after_event: Callable[[], None] = lambda: None
) -> None:
    """What a replica does: act on every event of the server it follows, until that server is gone."""
    with contextlib.suppress(*BROKEN):
        while True:
            act(server, receive_event(primary, dtype))
            after_event()


def serve_connections(
    server: ShardServer, weights: np.ndarray, inbox: Inbox, *, replica: Connection | None = None,
    patience_s: float = 10.0, after_event: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until every worker has finished or is lost.

    Parameters
    ----------
    server : ShardServer
    weights : ndarray
        The block, which the server's ``apply`` changes.
    inbox : Inbox
    replica : Connection, optional
        To the process that follows this one.
    patience_s : float
        Workers that have not said hello after this time are lost: they died while this server was starting, or together
        with the one that it replaces.
    after_event : callable
        Called when an event has been dealt with: for checkpoints, and for faults that are injected.
    """
    end, greeted = time.monotonic() + patience_s, set()
    while len(server.clocks):
        try:
            event = inbox.events.get(timeout=max(0.0, end - time.monotonic()) if end else None)
        except queue.Empty:
            end = None
            for worker in set(server.clocks.workers) - greeted:
                inbox.events.put(Event("lost", worker))
            continue
        greeted.add(event.worker)
        if event.worker not in server.clocks and event.kind != "hello":
            continue  # of one that had been given up, or has finished and now hangs up
        if replica is not None:
            try:
                send_event(replica, event)
            except BROKEN:
                replica = None  # from now on there is none
        for answer in act(server, event):
            with contextlib.suppress(*BROKEN, KeyError):  # then the connection's end is the next event
                connection = inbox.connections[answer.worker]
                connection.send((answer.version, answer.num_missing))
                connection.send_bytes(memoryview(weights).cast("B"))
        after_event()
    server.flush()


class ConnectionClient:
    """A worker's side.

    Parameters
    ----------
    worker : int
    addresses : sequence of sequence of str
        For each server its own address, then that of its replica if there is one.
    bounds : sequence of (int, int)
        Start and stop of their blocks.
    authkey : bytes
    patience_s : float
        How long to look for a server that does not answer.
    """

    def __init__(
        self, worker: int, addresses: Sequence[Sequence[str]], bounds: Sequence[tuple[int, int]], authkey: bytes,
        patience_s: float = 20.0,
    ):
        self._worker, self._addresses, self._bounds = worker, addresses, tuple(bounds)
        self._authkey, self._patience_s = authkey, patience_s
        self._connections: list[Connection | None] = [None] * len(self._bounds)
        self._unanswered: tuple[np.ndarray, int, float] | None = None  # the last push: gradient, clock, share
        self._found: set[int] = set()  # servers that have been reached once

    def pull(self, weights: np.ndarray, clock: int) -> tuple[int, int]:
        """Fill ``weights``, all blocks; wait as long as the rule demands, and look for servers that are gone.

        Returns
        -------
        version, num_missing : int
            The least of the servers', and the largest: see :class:`Answer`.
        """
        notes: dict[int, tuple[int, int]] = {}
        asked: set[int] = set()
        while len(notes) < len(self._bounds):
            for server, (start, stop) in enumerate(self._bounds):
                if server in notes:
                    continue
                try:
                    if server not in asked:
                        self._connected(server, clock).send(("pull", self._worker, clock, 0.0))
                        asked.add(server)
                        if len(asked) < len(self._bounds):
                            continue  # all are asked before the first answer is waited for
                    note = self._connected(server, clock).recv()
                    self._connections[server].recv_bytes_into(memoryview(weights[start:stop]).cast("B"))
                    notes[server] = note
                except BROKEN:
                    self._connections[server] = None
                    asked.discard(server)
        self._unanswered = None
        return min(version for version, _ in notes.values()), max(missing for _, missing in notes.values())

    def push(self, gradient: np.ndarray, clock: int, share: float) -> None:
        """Send each server its block of the gradient, which must stay as it is until the next pull returns."""
        self._unanswered = gradient, clock, share
        for server in range(len(self._bounds)):
            try:
                self._send_push(self._connected(server, clock, repeat=False), server)
            except BROKEN:
                self._connections[server] = None
                self._connected(server, clock)  # repeats it

    def finish(self) -> None:
        """This worker needs nothing more."""
        for server in range(len(self._bounds)):
            while True:
                try:
                    clock = 0 if self._unanswered is None else self._unanswered[1]
                    self._connected(server, clock).send(("finish", self._worker, 0, 0.0))
                    break
                except BROKEN:
                    self._connections[server] = None

    def _send_push(self, connection: Connection, server: int) -> None:
        gradient, clock, share = self._unanswered
        start, stop = self._bounds[server]
        send_event(connection, Event("push", self._worker, clock, share, gradient[start:stop]))

    def _connected(self, server: int, clock: int, repeat: bool = True) -> Connection:
        """The connection to a server; a new one begins with hello, and with the push that may have been lost."""
        end = time.monotonic() + (self._patience_s if server in self._found else max(START_S, self._patience_s))
        while self._connections[server] is None:
            for address in self._addresses[server]:
                try:
                    connection = Client(address, authkey=self._authkey)
                    first = clock if self._unanswered is None else self._unanswered[1]
                    connection.send(("hello", self._worker, first, 0.0))
                    if repeat and self._unanswered is not None:
                        self._send_push(connection, server)
                    self._connections[server] = connection
                    self._found.add(server)
                    return connection
                except (*BROKEN, AuthenticationError):
                    continue
            if time.monotonic() > end:
                raise NotAvailableError(
                    f"parameter server: worker {self._worker} finds server {server} at none of "
                    f"{list(self._addresses[server])} for {self._patience_s:g} s: it died and nothing replaced it; run "
                    f"with a replica, or restore its checkpoint."
                )
            time.sleep(RETRY_S)
        return self._connections[server]
