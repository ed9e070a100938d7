"""How often each version goes over memory, counted: it runs, and every first touch of a page is noted.

The algorithm of softmax says how often x is read; how often memory is, the program decides. NumPy computes one
operation after the other, and each writes an array that the next one reads. :mod:`.passes_child` has how it is counted.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.errors import NotAvailableError, UsageError
from labkit.softmax.arguments import count
from labkit.softmax.ladder import VERSIONS, find_version

DTYPES = ("float16", "float32", "float64")
LEAST_ELEMENTS, MOST_ELEMENTS = 2**19, 2**22  # more than the cache that is modelled holds, and within the region
DEADLINE_S = 110


@dataclass(frozen=True, slots=True)
class Passes:
    """How often a version reads and writes memory, in units of the size of x: 1 is once for every element.

    Attributes
    ----------
    version : str
    reads, writes : float
        Of x and the result.
    extra_reads, extra_writes : float
        Of arrays in between.
    """

    version: str
    reads: float
    writes: float
    extra_reads: float = 0.0
    extra_writes: float = 0.0

    @property
    def total(self) -> float:
        """All of it together."""
        return self.reads + self.writes + self.extra_reads + self.extra_writes


def count_passes(
    versions: Sequence[str] | None = None, *, num_rows: int = 1, num_columns: int = 2**20, dtype: str = "float32"
) -> tuple[Passes, ...]:
    """Count the passes over memory of versions: by default for one row that fits in no cache.

    Each version runs on one thread in a process of its own, in memory where touching a page that has not been touched
    lately is noted: 256 pages are remembered, 1 MiB with pages of 4 KiB. Some seconds; what was counted is kept.

    Parameters
    ----------
    versions : names in :data:`.ladder.VERSIONS`, optional
        All that need no GPU by default.
    num_rows, num_columns : int
        2**19 to 2**22 elements together. A row that fits in the cache is read from memory once.
    dtype : str
        ``"float16"``, ``"float32"`` or ``"float64"``.

    Raises
    ------
    UsageError
        Other values, or a version that needs a GPU.
    NotAvailableError
        Not on Linux on x86-64, or the process failed.

    Notes
    -----
    A processor also reads a line of memory before it writes a part of it, unless it is told not to; that is not
    counted. Nor is memory that compiled versions take without NumPy: a block, which stays in the cache.

    Examples
    --------
    ::

        [one] = count_passes(["online"])
        one.reads, one.writes, one.total     # 2.0, 1.0, 3.0
    """
    on_cpu = [name for name, version in VERSIONS.items() if not version.needs_gpu]
    names = tuple(on_cpu if versions is None else versions)
    for name in names:
        if find_version(name).needs_gpu:
            raise UsageError(
                f"count_passes: {name} runs on a GPU, whose memory is not watched: pass {', '.join(on_cpu)}."
            )
    if dtype not in DTYPES:
        raise UsageError(f"count_passes: dtype is one of {', '.join(DTYPES)}, not {dtype!r}: pass one of these.")
    if not LEAST_ELEMENTS <= count("num_rows", num_rows) * count("num_columns", num_columns) <= MOST_ELEMENTS:
        raise UsageError(
            f"count_passes: {LEAST_ELEMENTS} to {MOST_ELEMENTS} elements, not {num_rows} x {num_columns}: pass as many."
        )
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise NotAvailableError(
            f"Passes over memory are counted on Linux on x86-64, not on {sys.platform} on {platform.machine()}: "
            f"labkit.softmax.passes.stated_passes() has those of the algorithms."
        )
    return _counted(names, int(num_rows), int(num_columns), dtype)


@functools.lru_cache(maxsize=16)
def _counted(names: tuple[str, ...], num_rows: int, num_columns: int, dtype: str) -> tuple[Passes, ...]:
    request = json.dumps({"versions": names, "num_rows": num_rows, "num_columns": num_columns, "dtype": dtype})
    command = [sys.executable, "-m", "labkit.softmax.passes_child"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, text=True, timeout=DEADLINE_S, env=environment
        )
    except subprocess.TimeoutExpired:
        raise NotAvailableError(
            f"Passes could not be counted: the process did not end within {DEADLINE_S} s. Try again when the machine "
            f"has less to do."
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise NotAvailableError(f"Passes could not be counted: the process that runs the versions failed: {last}")
    return tuple(Passes(*row) for row in json.loads(done.stdout.splitlines()[-1]))


def stated_passes(versions: Sequence[str] | None = None) -> tuple[Passes, ...]:
    """The passes that the algorithms have, without arrays in between; not counted.

    Examples
    --------
    >>> stated_passes(["shifted"])
    (Passes(version='shifted', reads=3, writes=1, extra_reads=0.0, extra_writes=0.0),)
    """
    names = tuple(VERSIONS if versions is None else versions)
    return tuple(Passes(name, find_version(name).num_reads, find_version(name).num_writes) for name in names)
