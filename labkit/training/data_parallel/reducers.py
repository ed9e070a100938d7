"""How one vector is added up over the ranks: the all-reduce, by name."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

import torch

from labkit.errors import UsageError

SHORT_NAMES = {
    "ring": "allreduce_ring", "chunked_ring": "allreduce_chunked_ring", "segmented_ring": "allreduce_segmented_ring",
    "tree": "allreduce_reduce_broadcast", "recursive_doubling": "allreduce_recursive_doubling",
    "rabenseifner": "allreduce_rabenseifner", "all_pairs": "allreduce_all_pairs", "swing": "allreduce_swing",
}


class Reducer(Protocol):
    """Replaces a vector by its sum over the ranks, exactly or nearly. Collective; the ranks end with equal bits."""

    name: str
    takes_gpu_tensors: bool  # with a communicator that carries them

    def prepare(self, comm, sizes: list[int]) -> None:
        """The lengths of the vectors that will come; number k of them is the ``key`` of a call."""

    def reduce(self, comm, vector: torch.Tensor, key: int) -> None:
        """``vector`` is a flat tensor of float32 or float64; on the CPU, unless ``takes_gpu_tensors``."""

    def memory_bytes(self) -> int: ...
    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


# A reducer that wants vectors to lie in a place of its own also has rooms(), can_start, start(), leave(), close(): see
# .shared_sum.


class AllReduce:
    """The exact sum, by an algorithm of :mod:`labkit.mpi.collectives` or by the library.

    Parameters
    ----------
    algorithm : str
        ``"library"``, a short name such as ``"ring"``, ``"tree"``, ``"rabenseifner"``, or a name of the registry of
        collectives.

    Raises
    ------
    UsageError
        No such algorithm.
    """

    takes_gpu_tensors = True

    def __init__(self, algorithm: str = "library"):
        self.name, self.function = algorithm, find_allreduce(algorithm)

    def prepare(self, comm, sizes):
        pass

    def reduce(self, comm, vector, key):
        self.function(comm, vector.numpy() if vector.device.type == "cpu" else vector)

    def memory_bytes(self):
        return 0

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def find_allreduce(algorithm: str) -> Callable:
    """``function(comm, array)`` adds an array up in place.

    Examples
    --------
    >>> find_allreduce("star")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    labkit.errors.UsageError: there is no all-reduce 'star': take library, auto, ring, ...
    """
    from mpi4py import MPI

    if algorithm == "library":
        return lambda comm, array: comm.Allreduce(MPI.IN_PLACE, array)
    from labkit.mpi.collectives.registry import ALGORITHMS

    found = ALGORITHMS.get(SHORT_NAMES.get(algorithm, algorithm))
    if found is None or found.operation != "allreduce":
        names = [
            name for name, a in ALGORITHMS.items() if a.operation == "allreduce" and name not in SHORT_NAMES.values()
        ]
        raise UsageError(
            f"there is no all-reduce {algorithm!r}: take "
            f"{', '.join(['library', 'auto', *SHORT_NAMES, *names])}."
        )
    if found.needs_shared_memory:  # a window of MPI is made of MPI's own communicator; nothing is sent
        return lambda comm, array: found.function(getattr(comm, "comm", comm), MPI.IN_PLACE, array)
    return lambda comm, array: found.function(comm, MPI.IN_PLACE, array)


def make_reducer(algorithm: str | Reducer) -> Reducer:
    """An exact one by its name, or the one that is given."""
    if algorithm == "auto":
        from labkit.training.data_parallel.shared_sum import SharedSum

        return SharedSum()
    return AllReduce(algorithm) if isinstance(algorithm, str) else algorithm


class Delayed:
    """Another reducer behind a slow link: every call sleeps first.

    The delay takes no core, so it shows what can be hidden behind a backward pass, on any machine.

    Parameters
    ----------
    reducer : Reducer
    delay_s : float
        Before each vector.
    delay_s_per_byte : float
        And for its length.
    """

    def __init__(self, reducer: Reducer, delay_s: float, *, delay_s_per_byte: float = 0.0):
        self.reducer, self.delay_s, self.delay_s_per_byte = reducer, delay_s, delay_s_per_byte
        self.name = f"{reducer.name}, delayed"
        self.link: queue.SimpleQueue | None = None  # of a thread that sleeps, for a reducer that can start
        self.thread: threading.Thread | None = None

    def delay_of(self, vector: torch.Tensor) -> float:
        """Seconds."""
        return self.delay_s + self.delay_s_per_byte * vector.numel() * vector.element_size()

    def reduce(self, comm, vector, key):
        time.sleep(self.delay_of(vector))
        self.reducer.reduce(comm, vector, key)

    def start(self, comm, vector, key):
        """The other ranks get the vector after its delay, and after those that were started before."""
        if self.thread is None:
            self.link = queue.SimpleQueue()
            self.thread = threading.Thread(target=self._run, daemon=True, name="labkit communication")
            self.thread.start()
        return self.reducer.start(comm, vector, key, lambda number: self.link.put((self.delay_of(vector), number)))

    def _run(self) -> None:
        while (message := self.link.get()) is not None:
            delay_s, number = message
            time.sleep(delay_s)
            self.reducer.offer(number)

    def close(self) -> None:
        if self.thread is not None:
            self.link.put(None)
            self.thread.join()
            self.thread = None
        self.reducer.close()

    def __getattr__(self, name: str):
        return getattr(self.reducer, name)
