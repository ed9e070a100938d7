"""What simulated ranks share because they live in one process, and what keeps it apart or puts it back."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import sys
import threading
import types

from labkit.cluster.outcome import Listener
from labkit.cluster.output import LimitedStream


@contextlib.contextmanager
def same_folder():
    """Where the notebook works is where it works afterwards: real ranks could not move it either."""
    folder = os.open(".", os.O_RDONLY)  # finds it even if it is renamed
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)


# Functions of np.random that are no methods of its generator, and the methods they stand for.
NUMPY_FUNCTIONS = {"seed": "seed", "ranf": "random_sample", "sample": "random_sample"}


class RandomNumbers:
    """The generators behind ``random`` and ``np.random``, one a rank, as every process has its own.

    They stay from cell to cell. Without a seed they begin anywhere, as those of real ranks do.
    """

    def __init__(self):
        self.by_rank: dict[tuple, object] = {}

    @contextlib.contextmanager
    def of_ranks(self, world):
        """While a simulation runs, functions of these modules use the generator of the running rank."""
        import numpy as np

        replaced = []
        for module, shared, make in (
            (random, random._inst, random.Random), (np.random, np.random.mtrand._rand, np.random.RandomState),
        ):
            for name, function in vars(module).copy().items():
                method = name if getattr(function, "__self__", None) is shared else None
                if module is np.random:
                    method = NUMPY_FUNCTIONS.get(name, method)
                if method is not None:
                    setattr(module, name, self._dispatch(world, function, make, method))
                    replaced.append((module, name, function))
        try:
            yield
        finally:
            for module, name, function in replaced:
                setattr(module, name, function)

    def _dispatch(self, world, function, make, method):
        @functools.wraps(function)
        def of_running_rank(*args, **kwargs):
            current = world.current
            if current is None:  # between the ranks, or after the cell that has imported this by its name
                return function(*args, **kwargs)
            key = current.rank, make
            if key not in self.by_rank:
                self.by_rank[key] = make()
            return getattr(self.by_rank[key], method)(*args, **kwargs)

        return of_running_rank


class streams_by_rank:
    """While a simulation runs, what a rank prints goes to the listener under its number."""

    def __init__(self, world, listener: Listener):
        self.world = world
        self.by_name = {
            name: [LimitedStream(_ToListener(listener, rank, name)) for rank in range(world.num_ranks)]
            for name in ("stdout", "stderr")
        }

    def __enter__(self):
        self.before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (
            _Switch(self.world, self.by_name[name], real)
            for name, real in zip(("stdout", "stderr"), self.before, strict=True)
        )

    def __exit__(self, *exception):
        sys.stdout, sys.stderr = self.before
        for streams in self.by_name.values():
            for stream in streams:
                stream.close_cell()


class names_by_rank:
    """While a simulation runs, ``__main__`` is what the running rank has defined: so its classes can be pickled."""

    def __init__(self, world, namespaces: list[dict]):
        self.module = _MainOfRanks("__main__")
        self.module.__dict__.update(_world=world, _namespaces=namespaces, _real=sys.modules["__main__"])

    def __enter__(self):
        sys.modules["__main__"] = self.module

    def __exit__(self, *exception):
        sys.modules["__main__"] = self.module._real


class _MainOfRanks(types.ModuleType):
    """Looks a name up in the running rank's namespace, then in the notebook's."""

    def __getattr__(self, name: str):
        current = self._world.current
        namespace = self._namespaces[current.rank] if current is not None else {}
        return namespace[name] if name in namespace else getattr(self._real, name)


class _ToListener(io.TextIOBase):
    """The end of a rank's stream."""

    def __init__(self, listener: Listener, rank: int, name: str):
        self.listener, self.rank, self.stream_name = listener, rank, name

    def write(self, text: str) -> int:
        self.listener.text(self.rank, self.stream_name, text)
        return len(text)


class _Switch(io.TextIOBase):
    """A stream that belongs to whichever rank is running, and to the notebook between them."""

    def __init__(self, world, streams: list[LimitedStream], real):
        self.world, self.streams, self.real = world, streams, real
        self.main = threading.get_ident()

    def _stream(self):
        current = self.world.current
        return self.real if current is None or threading.get_ident() != self.main else self.streams[current.rank]

    def write(self, text: str) -> int:
        return self._stream().write(text)

    def flush(self) -> None:
        self._stream().flush()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self):
        return getattr(self.real, "encoding", "utf-8")
