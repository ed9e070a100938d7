"""Prefix sums: element i of the result is the sum of elements 0 to i, so each needs the one before.

References
----------
G. Blelloch, "Prefix sums and their applications", CMU-CS-90-190, 1990: the work-efficient tree.
D. Merrill, M. Garland, "Single-pass parallel prefix scan with decoupled look-back", NVR-2016-002, 2016: the fast one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.intrinsics import fetch_add, load, store, yield_core
from labkit.openmp.kernels.arrays import output, vector
from labkit.openmp.kernels.ladder import Ladder, Version
from labkit.openmp.shared import GOING_ON, LINE, STOP

TILE = 8192  # elements: 64 KiB, which are still in the L2 cache when they are read for the second time
SPINS = 200  # looks before a thread that waits offers its core to others
ANY_ORDER = {"reassoc", "nsz"}


@njit(cache=True, nogil=True)
def scan(before, x, out):
    """Prefix sums of ``x`` plus ``before``; returns the last."""
    for i in range(out.size):
        before += x[i]
        out[i] = before
    return before


@njit(cache=True, nogil=True)
def scan_by_four(before, x, out):
    """As :func:`scan`; sums of four are made beside each other, so that only one addition in four waits."""
    whole = out.size // 4 * 4
    for i in range(0, whole, 4):
        a = x[i]
        b = x[i] + x[i + 1]
        c = x[i + 2]
        d = x[i + 2] + x[i + 3]
        out[i], out[i + 1], out[i + 2] = before + a, before + b, before + (b + c)
        before += b + d
        out[i + 3] = before
    return scan(before, x[whole:], out[whole:])


@njit(cache=True, nogil=True, fastmath=ANY_ORDER)
def sum_of(x):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@njit(cache=True, nogil=True)
def add_one_before(start, stop, x, out):
    for i in range(start, stop):
        out[i] = x[i] + (out[i - 1] if i > 0 else 0)  # at the begin of a chunk another thread writes out[i - 1]


@njit(cache=True, nogil=True)
def sum_tiles(start, stop, x, sums):
    for tile in range(start, stop):
        sums[tile] = sum_of(x[tile * TILE : (tile + 1) * TILE])


@njit(cache=True, nogil=True)
def scan_tiles(start, stop, x, out, sums):
    for tile in range(start, stop):
        before = sums[tile - 1] if tile > 0 else x.dtype.type(0)
        scan_by_four(before, x[tile * TILE : (tile + 1) * TILE], out[tile * TILE : (tile + 1) * TILE])


@njit(cache=True, nogil=True)
def tree_up(start, stop, tree, step):
    """Each node becomes the sum of its two children, which are ``step`` apart."""
    for node in range(start, stop):
        right = (2 * node + 2) * step - 1
        tree[right] += tree[right - step]


@njit(cache=True, nogil=True)
def tree_down(start, stop, tree, step):
    """Each node hands what comes before it to its left child, and that plus the left one's sum to its right child."""
    for node in range(start, stop):
        right = (2 * node + 2) * step - 1
        left = tree[right - step]
        tree[right - step] = tree[right]
        tree[right] += left


@njit(cache=True, nogil=True)
def scan_in_order(team, x, out, ticket, sums, ready):
    """Threads take tiles in order. The sum of a tile is known when the one before has told its own."""
    while load(team, STOP) == GOING_ON:
        tile = fetch_add(ticket, 0, 1)
        if tile >= ready.size:
            return
        part, its_out = x[tile * TILE : (tile + 1) * TILE], out[tile * TILE : (tile + 1) * TILE]
        total = sum_of(part)
        before = x.dtype.type(0)
        if tile > 0:
            spins = 0
            while load(ready, tile - 1) == 0:
                spins += 1
                if spins % SPINS == 0:
                    if load(team, STOP) != GOING_ON:
                        return
                    yield_core()
            before = sums[tile - 1]
        sums[tile] = before + total
        store(ready, tile, 1)
        scan_by_four(before, part, its_out)


def _arrays(x, out):
    dtype = getattr(x, "dtype", None)
    if dtype not in (np.float64, np.int64):
        given = dtype or type(x).__name__
        raise UsageError(f"x is a NumPy array of float64 or int64, not {given}: pass such an array.")
    x = vector("x", x, dtype=dtype)
    return x, output(out, x.shape, x.dtype, x)


def prefix_sum_serial(team, x, *, out=None, schedule="static") -> np.ndarray:
    """``out[i] = x[0] + ... + x[i]``, on one thread."""
    x, out = _arrays(x, out)
    scan(x.dtype.type(0), x, out)
    return out


def prefix_sum_naive(team, x, *, out=None, schedule="static") -> np.ndarray:
    """The serial loop shared out: chunks begin with a sum of another thread that is not there yet."""
    x, out = _arrays(x, out)
    out[:] = 0
    team.parallel_for(add_one_before, x.size, x, out, schedule=schedule)
    return out


def prefix_sum_two_pass(team, x, *, out=None, schedule="static") -> np.ndarray:
    """Sums of tiles; their prefix sums, on one thread; then the tiles again, each from its own begin.

    2 n additions, and ``x`` is read twice.
    """
    x, out = _arrays(x, out)
    sums = np.empty(-(-x.size // TILE), x.dtype)
    team.parallel_for(sum_tiles, sums.size, x, sums, schedule=schedule)
    np.cumsum(sums, out=sums)
    team.parallel_for(scan_tiles, sums.size, x, out, sums, schedule=schedule)
    return out


def prefix_sum_work_efficient(team, x, *, out=None, schedule="static") -> np.ndarray:
    """Blelloch's tree: up with sums, down with what comes before; 2 log2(n) loops, about 3 n additions in all."""
    x, out = _arrays(x, out)
    if x.size == 0:
        return out
    size = 1 << (x.size - 1).bit_length()  # a power of 2
    tree = np.zeros(size, x.dtype)
    tree[: x.size] = x
    steps = [1 << level for level in range(size.bit_length() - 1)]
    for step in steps:
        team.parallel_for(tree_up, size // (2 * step), tree, step, schedule=schedule)
    tree[size - 1] = 0
    for step in reversed(steps):
        team.parallel_for(tree_down, size // (2 * step), tree, step, schedule=schedule)
    np.add(tree[: x.size], x, out=out)  # the tree leaves the element itself out
    return out


def prefix_sum_fast(team, x, *, out=None, schedule="dynamic") -> np.ndarray:
    """Threads take tiles in order, and scan a tile as soon as the sum of the one before is known.

    A tile is read twice, but the second time from the cache: half the memory traffic of reading. Tiles are always taken
    one at a time in order, whatever the schedule. The same bits for any number of threads.

    Parameters
    ----------
    x : ndarray of float64 or int64, shape (n,)
    out : ndarray of the same kind, optional
        Where the result goes.

    Examples
    --------
    >>> from labkit.openmp.team import Team
    >>> prefix_sum_fast(Team(2), np.array([1, 2, 3, 4]))
    array([ 1,  3,  6, 10])
    """
    x, out = _arrays(x, out)
    num_tiles = -(-x.size // TILE)
    ticket, ready = np.zeros(LINE, np.int64), np.zeros(num_tiles, np.int64)
    team.parallel(scan_in_order, x, out, ticket, np.zeros(num_tiles, x.dtype), ready)
    return out


def make_input(size: int, seed: int = 0) -> tuple:
    """``size`` random real numbers."""
    return (np.random.default_rng(seed).random(size),)


def oracle(x) -> np.ndarray:
    """In extended precision."""
    return np.cumsum(x.astype(np.longdouble if x.dtype == np.float64 else np.int64)).astype(x.dtype)


LADDERS = (
    Ladder(
        "prefix_sum",
        (
            Version("serial", prefix_sum_serial, True, "One thread; each addition waits for the one before."),
            Version("naive", prefix_sum_naive, False, "Wrong: chunks begin before the sum they begin with is known."),
            Version("work_efficient", prefix_sum_work_efficient, True,
                    "Slow on a few cores: few additions, but 2 log2(n) loops that go through all of the memory."),
            Version("two_pass", prefix_sum_two_pass, True, "Reads all of the input twice."),
            Version("fast", prefix_sum_fast, True, "Reads each tile twice, but the second time from the cache."),
        ),
        oracle, make_input, bytes=lambda x: 16 * x.size, flops=lambda x: x.size, tolerance=1e-12,
    ),
)  # fmt: skip
