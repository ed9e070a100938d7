"""Memory that the ranks of one node share, with flags to wait for that take no core.

An MPI library waits by asking again and again. That is quick while nobody else needs the core; a thread that
communicates beside a backward pass takes the core away from it. Here a rank that waits sleeps in the kernel until
another one rings.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from labkit.errors import LabkitError

SHARED_FOLDER = Path("/dev/shm")  # memory of one machine, never a disk or another machine's
LINE_BYTES = 64  # of a cache: flags of two ranks in one line would slow both down
HEADER_BYTES = 4096
LOOK_EVERY_S = 1.0  # a rank that waits looks so often whether the others are still there
ARRIVED, DONE, LEFT = 0, 1, 2  # words of a header


class NodeMemory:
    """A piece of memory of each rank, which all ranks map, and a bell of each rank. See :func:`open_node_memory`.

    A piece is a file of its rank's in the memory of the machine, without a name as soon as all have opened it: it goes
    when the last process lets go of it, however that ends. The bell is a named pipe, in the same way.

    Parameters
    ----------
    folder : Path
        Has the pieces and bells of all ranks.
    rank, num_ranks, num_bytes : int
        ``num_bytes`` is the room of each rank.

    Attributes
    ----------
    rooms : list of numpy.ndarray
        Bytes, by rank.
    """

    def __init__(self, folder: Path, rank: int, num_ranks: int, num_bytes: int):
        self.rank, self.is_closed, self.look_at = rank, False, 0.0
        self.files, self.bells, self.rooms, self.words = [], [], [], []
        try:
            for other in range(num_ranks):
                self.files.append(os.open(_piece(folder, other), os.O_RDWR))
                self.bells.append(os.open(_bell(folder, other), os.O_RDWR | os.O_NONBLOCK))
                memory = np.frombuffer(mmap.mmap(self.files[-1], HEADER_BYTES + num_bytes), np.uint8)
                self.rooms.append(memory[HEADER_BYTES:])
                self.words.append(memory[:HEADER_BYTES].view(np.int64)[:: LINE_BYTES // 8])
            fcntl.flock(self.files[rank], fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until this process ends
        except (OSError, ValueError):
            self.close()
            raise
        self.others = [other for other in range(num_ranks) if other != rank]
        self.poll = select.poll()
        self.poll.register(self.bells[rank], select.POLLIN)

    def announce(self, word: int, number: int, *, to_self: bool = False) -> None:
        """Set a word of this rank, and ring for the others; ``to_self``: also for a thread of this rank that naps."""
        if not self.is_closed:
            self.words[self.rank][word] = number
            self._ring(to_self)

    def lowest(self, word: int) -> int:
        """Of all ranks."""
        return min(int(words[word]) for words in self.words)

    def nap(self, timeout_s: float, word: int, number: int) -> None:
        """Sleep until somebody rings, because ``lowest(word)`` is still below this number.

        Raises
        ------
        LabkitError
            It will never get there: another rank has ended or left, or this one is leaving. (No TrainingError, because
            the ranks stand at different places: they may not come to a collective call any more.)
        """
        if self.is_closed:
            raise LabkitError("training was broken off while gradients were on their way.")
        for other in self.others:  # a rank sets its words first and leaves then: looked at in the other order
            if self.words[other][LEFT] and self.words[other][word] < number:
                raise LabkitError(f"rank {other} has left training while its gradients were waited for.")
        if self.poll.poll(1e3 * timeout_s):
            with contextlib.suppress(BlockingIOError):
                os.read(self.bells[self.rank], 4096)
        elif time.monotonic() > self.look_at:
            self.look_at = time.monotonic() + LOOK_EVERY_S
            for other in self.others:
                if self._has_ended(other) and self.words[other][word] < number:
                    raise LabkitError(f"the process of rank {other} has ended while its gradients were waited for.")

    def leave(self) -> None:
        """Tell the others, and a thread of this rank that waits, that this rank comes no more."""
        if not self.is_closed:
            self.words[self.rank][LEFT] = 1
            self.is_closed = True  # before the bell: who wakes looks at it
            self._ring(to_self=True)

    def close(self) -> None:
        """Let go; the memory goes with the last array that shows it. No thread may be waiting."""
        self.is_closed = True
        for descriptor in [*self.files, *self.bells]:
            os.close(descriptor)
        self.files, self.bells, self.rooms, self.words = [], [], [], []

    def _ring(self, to_self: bool) -> None:
        for other in [*self.others, self.rank] if to_self else self.others:
            with contextlib.suppress(BlockingIOError):  # full: it has been rung for often enough
                os.write(self.bells[other], b"!")

    def _has_ended(self, other: int) -> bool:
        """The kernel lets go of a process's lock when it ends."""
        try:
            fcntl.flock(self.files[other], fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def open_node_memory(comm, num_bytes: int) -> NodeMemory | None:
    """Make memory that all ranks of a communicator share, so many bytes of each. Collective.

    Returns
    -------
    NodeMemory or None
        None on all ranks: they are on several nodes, or this system has no such memory, or too little of it.
    """
    folder = None
    if comm.rank == 0:
        with contextlib.suppress(OSError):
            folder = tempfile.mkdtemp(prefix="labkit-", dir=SHARED_FOLDER)
    folder = comm.bcast(folder, 0)
    if folder is None:
        return None
    try:
        is_mine_made = _make(Path(folder), comm.rank, num_bytes)
        if not all(comm.allgather(is_mine_made)):
            return None
        memory = None
        with contextlib.suppress(OSError, ValueError):
            memory = NodeMemory(Path(folder), comm.rank, comm.size, num_bytes)
        if all(comm.allgather(memory is not None)):
            return memory
        if memory is not None:
            memory.close()
        return None
    finally:
        if comm.rank == 0:
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path, rank: int, num_bytes: int) -> bool:
    """This rank's piece and bell; False where there is no such folder (on another node), or too little memory."""
    try:
        os.mkfifo(_bell(folder, rank), 0o600)
        descriptor = os.open(_piece(folder, rank), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:  # reserved now: memory that is missing later would end the process with a signal
            os.posix_fallocate(descriptor, 0, HEADER_BYTES + num_bytes)
        finally:
            os.close(descriptor)
    except (OSError, AttributeError):
        return False
    return True


def _piece(folder: Path, rank: int) -> Path:
    return folder / f"memory {rank}"


def _bell(folder: Path, rank: int) -> Path:
    return folder / f"bell {rank}"
