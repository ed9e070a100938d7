"""How the kernels of this room are compiled, and kept on disk.

Numba keeps a compiled function as long as the file it stands in does not change. Ours are put together from several
files, so the name under which a function is kept carries a hash of them all.

Importing this module imports Numba.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

from numba import njit

PARTS = (
    "backward_kernels", "compiled", "exp", "online_kernel", "processor", "short_row_kernels",
    "state_kernels", "threaded_kernels",
)


@functools.cache
def stamp() -> str:
    """A hash of the files that are compiled together."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{part}.py").read_bytes() for part in PARTS)).hexdigest()[:16]


def kernel(**options) -> Callable:
    """``njit`` for functions of this room: without the interpreter's lock, kept on disk; 1 / 0 is inf as in NumPy."""

    def decorate(function):
        function.__qualname__ = f"{function.__qualname__}_{stamp()}"
        return njit(cache=True, nogil=True, error_model="numpy", **options)(function)

    return decorate
