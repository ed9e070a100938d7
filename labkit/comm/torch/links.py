"""Links between processes over a ``torch.distributed`` process group: two threads to every other rank.

Gloo matches a receive with a message by rank and number only: it has no probe, cannot say whether a message has
come, cannot take back a receive, and ends the process (``terminate called ... Received data size doesn't match``)
when a message is larger than its receive. So every message has an envelope of fixed size, and a thread a peer
receives all that comes and hands it to MPI's rules of matching in :mod:`.world`. Another thread sends what is
large: its wait ends when the peer's thread has taken the data, so no send waits for the program at the other end.

Envelope: ``ENVELOPE_BYTES`` bytes, of which the first ``FIELDS.size`` are fields; a small message stands behind them,
a larger one follows as a message of its own.
"""

from __future__ import annotations

import struct
import threading
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch

FIELDS = struct.Struct("<5q")
ENVELOPE_BYTES = 512
SMALL_BYTES = ENVELOPE_BYTES - FIELDS.size
ENVELOPE_TAG, DATA_TAG = 1, 2
DATA, SYNCHRONOUS, TAKEN, GOODBYE = range(4)


class Envelope(NamedTuple):
    """What a message says of itself: its kind, communicator, tag, size, and the number of a send that waits."""

    kind: int
    context: int
    tag: int = 0
    num_bytes: int = 0
    serial: int = 0


def bytes_tensor(data) -> torch.Tensor:
    """A tensor of bytes that shares the memory of a contiguous array or of ``bytes``."""
    if isinstance(data, np.ndarray):
        flat = data.reshape(-1).view(np.uint8)
        if flat.flags.writeable:
            return torch.from_numpy(flat)
        data = flat.data
    import warnings

    with warnings.catch_warnings():  # torch has no read-only tensors; nobody writes into this one
        warnings.simplefilter("ignore", UserWarning)
        return torch.frombuffer(data, dtype=torch.uint8) if len(data) else torch.empty(0, dtype=torch.uint8)


class Link:
    """The way to one other rank and back.

    Parameters
    ----------
    group : torch.distributed.ProcessGroupGloo
        Used by links alone.
    peer : int
        World rank at the other end.
    world : object
        ``room_for(peer, envelope)`` gives an array to receive into, ``arrived(peer, envelope, room)`` takes it,
        ``left(peer, reason)`` hears that nothing will come any more; all are called on the link's thread.
    """

    def __init__(self, group, peer: int, world):
        self.group, self.peer, self.world = group, peer, world
        self.sending = threading.Lock()  # held while the peer takes a message: never wait for it on a receiving thread
        self.counting = threading.Lock()
        self.queue: SimpleQueue = SimpleQueue()
        self.num_queued = 0
        self.envelope = torch.zeros(ENVELOPE_BYTES, dtype=torch.uint8)
        self.threads = [
            threading.Thread(target=target, name=f"{word} rank {peer}", daemon=True)
            for target, word in ((self._receive, "from"), (self._send_queued, "to"))
        ]
        for thread in self.threads:
            thread.start()

    # -- sending --------------------------------------------------------------------------------

    def send(self, envelope: Envelope, data=None, on_sent=None) -> bool:
        """Send; True if the data may be changed at once, else ``on_sent(error or None)`` is called when they may.

        A small message is sent at once if none waits before it; without ``on_sent`` (from receiving threads) it never is.
        """
        if envelope.num_bytes <= SMALL_BYTES:
            data = bytes(data) if data is not None else b""
            if on_sent is not None and self.sending.acquire(blocking=False):
                try:
                    if not self.num_queued:  # else it would overtake
                        self._put(envelope, data)
                        return True
                finally:
                    self.sending.release()
            on_sent, is_sent = None, True
        else:
            is_sent = False
        with self.counting:
            self.num_queued += 1
        self.queue.put((envelope, data, on_sent))
        return is_sent

    def _put(self, envelope: Envelope, data) -> None:
        """Hand one message to Gloo and wait until the peer has taken it."""
        buffer = bytearray(ENVELOPE_BYTES)
        FIELDS.pack_into(buffer, 0, *envelope)
        is_small = envelope.num_bytes <= SMALL_BYTES
        if is_small:
            buffer[FIELDS.size : FIELDS.size + envelope.num_bytes] = data
        self.group.send([torch.frombuffer(buffer, dtype=torch.uint8)], self.peer, ENVELOPE_TAG).wait()
        if not is_small:
            self.group.send([bytes_tensor(data)], self.peer, DATA_TAG).wait()

    def _send_queued(self) -> None:
        while True:
            envelope, data, on_sent = self.queue.get()
            failure = None
            with self.sending:
                try:
                    self._put(envelope, data)
                except Exception as error:
                    failure = error
            with self.counting:
                self.num_queued -= 1
            del data
            if on_sent is not None:
                on_sent(failure)
            if failure is not None:
                self.world.left(self.peer, "has been lost")
            if envelope.kind == GOODBYE:
                return

    # -- receiving ------------------------------------------------------------------------------

    def _receive(self) -> None:
        reason = "has been lost"
        try:
            while True:
                self.group.recv([self.envelope], self.peer, ENVELOPE_TAG).wait()
                memory = self.envelope.numpy()
                envelope = Envelope(*FIELDS.unpack_from(memory))
                if envelope.kind == GOODBYE:
                    reason = "has left"
                    break
                if envelope.num_bytes <= SMALL_BYTES:
                    room = memory[FIELDS.size : FIELDS.size + envelope.num_bytes].copy()
                    request = None
                else:
                    room, request = self.world.room_for(self.peer, envelope)
                    self.group.recv([bytes_tensor(room)], self.peer, DATA_TAG).wait()
                self.world.arrived(self.peer, envelope, room, request)
        except Exception:  # Gloo's words name addresses; which rank it was is what helps
            pass
        self.world.left(self.peer, reason)
