"""Arrays in memory that another process can map: what C writes there, the notebook sees, and nothing is copied."""

from __future__ import annotations

import mmap
import os
import tempfile
from operator import index

import numpy as np

from labkit.errors import UsageError


class SharedBlock(mmap.mmap):
    """Mapped memory with the file behind it. A file without a name: it is gone with the last who has it open."""

    fd: int = -1

    def __new__(cls, num_bytes: int):
        fd = _nameless_file()
        try:
            os.ftruncate(fd, max(num_bytes, 1))
            block = super().__new__(cls, fd, max(num_bytes, 1))
        except BaseException:
            os.close(fd)
            raise
        block.fd = fd
        return block

    def __del__(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("labkit array")
    with tempfile.TemporaryFile(prefix="labkit-array-") as file:  # macOS
        return os.dup(file.fileno())


def shared_array(shape, dtype=np.float64) -> np.ndarray:
    """An array of zeros that ``%%openmp --args`` passes to C without copying.

    Parameters
    ----------
    shape : int or tuple of int
    dtype : dtype, optional
        Any of fixed size; not ``object``.

    Returns
    -------
    ndarray
        An ordinary array, C-contiguous; contiguous parts of it (``x[100:200]``) are passed without copying, too.

    Raises
    ------
    UsageError
        A shape or dtype that cannot be, or more memory than there is.

    Examples
    --------
    >>> x = shared_array(3)
    >>> x[:] = [1, 2, 3]
    >>> x.sum()
    np.float64(6.0)
    """
    try:
        dtype = np.dtype(dtype)
        shape = tuple(index(n) for n in shape) if isinstance(shape, (tuple, list)) else (index(shape),)
    except (TypeError, ValueError):
        raise UsageError(
            f"shared_array: {shape!r:.60}, {dtype!r:.60} is no shape and dtype: pass such as (100, 200), np.float32."
        ) from None
    if dtype.hasobject:
        raise UsageError(f"shared_array: {dtype} means Python objects, which C cannot read: pass np.float64.")
    num_bytes = dtype.itemsize
    for n in shape:
        num_bytes *= n
        if n < 0:
            raise UsageError(f"shared_array: a shape has lengths of 0 or more, not {shape}: correct it.")
    if num_bytes > memory_bytes():
        raise UsageError(
            f"shared_array: {shape} of {dtype} are {num_bytes:,} bytes, and this machine has {memory_bytes():,}: pass "
            f"a smaller shape."
        )
    try:
        return np.ndarray(shape, dtype, buffer=SharedBlock(num_bytes))
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"shared_array: no memory for {num_bytes:,} bytes ({error}): pass a smaller shape.") from None


def memory_bytes() -> int:
    """The memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def block_of(array: np.ndarray) -> tuple[SharedBlock, int] | None:
    """The shared memory that an array lies in, and how many bytes after its start; None for an ordinary array."""
    owner = array
    while True:
        if isinstance(owner, SharedBlock):
            start = np.frombuffer(owner, np.uint8).__array_interface__["data"][0]
            return owner, array.__array_interface__["data"][0] - start
        if isinstance(owner, memoryview):
            owner = owner.obj
        elif isinstance(owner, np.ndarray) and owner.base is not None:
            owner = owner.base
        else:
            return None
