"""Compiled loops on disk, beside their kernel: so that the first call in a new process compiles nothing.

Numba keeps a function on disk under its own source. A loop's source is always the same; what differs is the kernel in
it. So each kernel has files of its own, which go out of date with its source file, with this package, and with Numba.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import CodeType

from numba.core.caching import FunctionCache, IndexDataCacheFile

# The files of this package that are compiled into loops.
PARTS = ("cache", "compiled", "intrinsics", "loops", "reductions", "shared", "sync", "tracing")


@functools.cache
def _stamp_of_package() -> bytes:
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{part}.py").read_bytes() for part in PARTS)).digest()


def _names_of(code: CodeType) -> str:
    """All that a function's code says."""
    constants = [_names_of(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_varnames))


class LoopCache(FunctionCache):
    """The files of one kind of loop over one kernel."""

    def __init__(self, kernel, *kind):
        function = kernel.py_func
        super().__init__(function)
        words = repr((function.__module__, function.__qualname__, _names_of(function.__code__), kind))
        self.digest = hashlib.sha256(_stamp_of_package() + words.encode()).hexdigest()[:24]
        self._cache_file = IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=f"{function.__name__}-{self.digest}",
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def _index_key(self, signature, codegen):
        return signature, codegen.magic_tuple()


def _mark(function: Callable, digest: str, kernel: Callable) -> None:
    """Put the digest into the names of a launch and of the functions made for it.

    Compiled functions are linked by their names and a number that counts up in each process. Two loops that came from
    different processes may have the same number: without a mark, one would call the other's kernel.
    """
    python_function = getattr(function, "py_func", None)
    if python_function is None or function is kernel or "<locals>" not in python_function.__qualname__:
        return
    if python_function.__qualname__.endswith(digest):
        return
    python_function.__qualname__ += f"_{digest}"
    for cell in python_function.__closure__ or ():
        _mark(cell.cell_contents, digest, kernel)


def keep_on_disk(launch: Callable, kernel: Callable, *kind) -> Callable:
    """``launch``, kept on disk if ``kernel`` is (``cache=True``) and depends on nothing but its arguments."""
    is_kept = isinstance(getattr(kernel, "_cache", None), FunctionCache)
    if is_kept and kernel.py_func.__closure__ is None:
        launch._cache = LoopCache(kernel, *kind)
        _mark(launch, launch._cache.digest, kernel)
    return launch
