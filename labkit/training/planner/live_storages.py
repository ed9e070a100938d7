"""Every piece of memory that a computation allocates and gives back, in order: without allocating any.

Operations run on fake tensors, which have shapes and no values. Each result that lies in memory of its own is an
allocation, and the end of the last tensor over that memory gives it back, exactly when the real one would.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from labkit.training.planner.convolution_memory import convolution_bytes


class LiveStorages(TorchDispatchMode):
    """While it is active, notes each allocation and each release.

    Attributes
    ----------
    events : list of (int, int)
        (Number of a storage, its bytes, or minus these when it is given back), in order.
    kinds : dict of int to str
        What a storage is for, where somebody has said so; the others are temporary.

    Examples
    --------
    >>> import torch
    >>> from torch._subclasses.fake_tensor import FakeTensorMode
    >>> with FakeTensorMode(), LiveStorages() as live:
    ...     x = torch.ones(1000)
    ...     y = x.view(10, 100) * 2
    ...     del x
    >>> [num_bytes for _, num_bytes in live.events], live.peak()[0]
    ([4000, 4000, -4000], 8000)
    """

    def __init__(self):
        super().__init__()
        self.events: list[tuple[int, int]] = []
        self.kinds: dict[int, str] = {}
        self.marks: list[tuple[str, int]] = []
        self._known: dict[int, tuple[int, weakref.ref]] = {}  # address of a storage -> its number
        self._count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        extra = convolution_bytes(func, args)
        if extra:
            self.events += [(self._count, extra), (self._count, -extra)]
            self.kinds[self._count] = "workspace"
            self._count += 1
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.note(value)
        return result

    def note(self, tensor: Tensor, kind: str | None = None) -> int:
        """The number of the memory behind a tensor, which counts as allocated from now on; says what it is for."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known:
            number, size = self._count, storage.nbytes()
            self._count += 1
            self._known[key] = number, weakref.ref(storage, lambda _: self._release(key, number, size))
            self.events.append((number, size))
        number = self._known[key][0]
        if kind is not None:
            self.kinds.setdefault(number, kind)
        return number

    def mark(self, name: str) -> None:
        """Give this moment a name."""
        self.marks.append((name, len(self.events)))

    def _release(self, key: int, number: int, size: int) -> None:
        self.events.append((number, -size))
        self._known.pop(key, None)

    def peak(self, block_bytes: int = 1) -> tuple[int, dict[int, int]]:
        """(The most bytes at a time, the storages that lived then with their bytes), each in whole blocks."""
        total = most = place = 0
        for position, (_, size) in enumerate(self.events):
            total += blocks(size, block_bytes)
            if total > most:
                most, place = total, position + 1
        return most, self.alive_at(place)

    def alive_at(self, position: int) -> dict[int, int]:
        """The storages that live after so many events, with their bytes."""
        alive: dict[int, int] = {}
        for number, size in self.events[:position]:
            if size >= 0:
                alive[number] = size
            else:
                alive.pop(number, None)
        return alive

    def by_kind(self, alive: dict[int, int], kinds: Iterable[str]) -> dict[str, int]:
        """Bytes of storages by what they are for; ``"temporary"`` is what nobody has spoken for,
        ``"workspace"`` a library's own."""
        found = dict.fromkeys((*kinds, "workspace", "temporary"), 0)
        for number, size in alive.items():
            found[self.kinds.get(number, "temporary")] += size
        return found


def blocks(num_bytes: int, block_bytes: int) -> int:
    """In whole blocks, keeping the sign.

    Examples
    --------
    >>> blocks(1, 512), blocks(512, 512), blocks(-513, 512), blocks(0, 512)
    (512, 512, -1024, 0)
    """
    size = -(-abs(num_bytes) // block_bytes) * block_bytes
    return size if num_bytes >= 0 else -size
