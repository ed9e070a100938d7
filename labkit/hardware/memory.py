"""Memory: bandwidth as STREAM measures it (McCalpin 1995), and latency level by level."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from labkit.hardware.topology import Topology

BYTES_PER_ELEMENT = {"copy": 16, "scale": 16, "add": 24, "triad": 24}  # float64, read and written
MAX_ARRAY_BYTES = 128 * 2**20
LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class LadderStep:
    """Nanoseconds an access takes, each depending on the one before, in so many bytes of data."""

    size_bytes: int
    latency_ns: float


def _kernels():
    """Compiled when first used: copy, scale, add, triad over equal slices, and a pointer chase."""
    import numba

    @numba.njit(parallel=True)
    def stream(name, a, b, c, scalar, num_chunks, repeats):
        size = a.size // num_chunks
        for chunk in numba.prange(num_chunks):
            # Slices first: indices of a whole array with bounds of their own are several times slower.
            x, y, z = a[chunk * size :], b[chunk * size :], c[chunk * size :]
            x, y, z = x[:size], y[:size], z[:size]
            for repeat in range(repeats):
                s = scalar + repeat
                if name == 0:
                    for i in range(x.size):
                        x[i] = y[i]
                elif name == 1:
                    for i in range(x.size):
                        x[i] = s * y[i]
                elif name == 2:
                    for i in range(x.size):
                        x[i] = y[i] + z[i]
                else:
                    for i in range(x.size):
                        x[i] = y[i] + s * z[i]

    @numba.njit
    def chase(following, num_steps):
        at = 0
        for _ in range(num_steps):
            at = following[at]
        return at

    return stream, chase


_compiled = None


def kernels():
    """The compiled kernels ``(stream, chase)``."""
    global _compiled
    if _compiled is None:
        _compiled = _kernels()
    return _compiled


def stream_array_elements(topology: Topology) -> int:
    """Elements of one STREAM array: four times the last-level cache, as far as memory allows."""
    wanted = min(4 * topology.last_level_cache_bytes, MAX_ARRAY_BYTES, topology.available_bytes // 8)
    return max(2**16, wanted // 8)


def stream_bandwidth(
    num_elements: int, num_threads: int = 1, *, repeats: int = 1, rounds: int = 5
) -> dict[str, float]:
    """Bytes per second of copy, scale, add and triad on float64 arrays; the best of the rounds.

    Raises
    ------
    ArithmeticError
        A kernel computed a wrong result.
    """
    import numba

    stream, _ = kernels()
    num_threads = max(1, min(num_threads, numba.config.NUMBA_NUM_THREADS))
    num_elements = max(num_threads, num_elements // num_threads * num_threads)
    a, b, c = np.zeros(num_elements), np.full(num_elements, 2.0), np.full(num_elements, 0.5)
    expected = {"copy": 2.0, "scale": None, "add": 2.5, "triad": None}
    before = numba.get_num_threads()
    numba.set_num_threads(num_threads)
    rates = {}
    try:
        for number, name in enumerate(BYTES_PER_ELEMENT):
            best = float("inf")
            for _ in range(rounds + 1):
                start = time.perf_counter()
                stream(number, a, b, c, 3.0, num_threads, repeats)
                best = min(best, time.perf_counter() - start)
            last = 3.0 + repeats - 1
            value = {"scale": last * 2.0, "triad": 2.0 + last * 0.5}.get(name, expected[name])
            if not (a == value).all():
                raise ArithmeticError(f"STREAM {name} gave {a[a != value][0]} instead of {value}.")
            rates[name] = BYTES_PER_ELEMENT[name] * num_elements * repeats / best
    finally:
        numba.set_num_threads(before)
    return rates


def level_bandwidth(topology: Topology, num_threads: int) -> dict[str, float]:
    """Triad bytes per second with data in each cache level and in memory, all threads together."""
    rates = {}
    for level in (1, 2, 3):
        size = topology.cache_size(level)
        if size is None:
            continue
        cache = next(c for c in topology.caches if c.level == level and c.kind != "Instruction")
        sharing = max(1, min(cache.shared_by, num_threads))
        per_thread = size // sharing // 2 // 24  # three arrays in half of the cache
        if per_thread < 64:
            continue
        repeats = max(1, 2**22 // per_thread)
        rates[f"L{level}"] = stream_bandwidth(
            per_thread * num_threads, num_threads, repeats=repeats, rounds=3
        )["triad"]
    rates["DRAM"] = stream_bandwidth(stream_array_elements(topology), num_threads, rounds=3)["triad"]
    return rates


def pointer_cycle(num_lines: int, seed: int = 0) -> np.ndarray:
    """A random cycle through ``num_lines`` cache lines: element -> next element, all on one cycle."""
    order = np.random.default_rng(seed).permutation(num_lines) * (LINE_BYTES // 8)
    following = np.zeros(num_lines * (LINE_BYTES // 8), np.int64)
    following[order] = np.roll(order, -1)
    return following


def cache_ladder(topology: Topology, num_steps: int = 200_000) -> tuple[LadderStep, ...]:
    """Latency against the size of the data, from 4 KiB to four times the last-level cache."""
    _, chase = kernels()
    largest = min(4 * topology.last_level_cache_bytes, MAX_ARRAY_BYTES, topology.available_bytes // 8)
    steps = []
    size = 4096
    chase(pointer_cycle(64), 10)
    while size <= largest:
        following = pointer_cycle(size // LINE_BYTES)
        chase(following, min(num_steps, size // LINE_BYTES * 2))
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            chase(following, num_steps)
            best = min(best, time.perf_counter() - start)
        steps.append(LadderStep(size, best / num_steps * 1e9))
        size *= 2
    return tuple(steps)
