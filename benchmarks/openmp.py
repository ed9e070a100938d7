"""Threads from Python against C compiled with gcc -O3 -march=native -fopenmp: the same loops, in one process, in turn."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from numba import njit

from labkit.bench import Benchmark, Goal
from labkit.errors import NotAvailableError
from labkit.hardware.timing import Comparison, Contention, compare
from labkit.hardware.topology import detect_topology
from labkit.openmp.kernels.ladder import ladder
from labkit.openmp.runtime import load
from labkit.openmp.team import Team

NUM_THREADS = 2
CACHES = 4  # a vector is as large as so many last-level caches, as STREAM's rules say
LARGEST_VECTOR = 2**25  # elements
NUM_VALUES = 4_000_000  # of a histogram
GRID, SWEEPS = 1500, 10
IMAGE, MOST_STEPS = (400, 600), 200
MATRIX, BLOCK = 768, 64
BINS = 256
REPEATS, DELAY = 2000, 200  # EPCC: loops, and additions in the delay
CHUNKS = 1_000_000
CHUNK_S = 10e-6


@functools.cache
def c():
    """The library of C functions, compiled now."""
    gcc = shutil.which("gcc")
    if gcc is None:
        raise NotAvailableError("the benchmark compares with gcc, which is not installed: 'apt install gcc'.")
    library = Path(tempfile.mkdtemp(prefix="labkit-bench-")) / "openmp.so"
    source = Path(__file__).with_name("_openmp.c")
    options = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-Wall"]
    subprocess.run([gcc, *options, str(source), "-o", str(library), "-lm"], check=True)
    load()  # the team's runtime: the library below uses the same one, so that not two pools of threads spin
    found = ctypes.CDLL(str(library))
    for name in ("dot", "parallel_for_seconds", "delay_seconds", "dynamic_seconds"):
        getattr(found, name).restype = ctypes.c_double
    found.omp_set_num_threads(NUM_THREADS)
    return found


def in_c(name, *arguments):
    """A call of a C function: arrays by their address, floats as double, whole numbers as long."""
    kinds = {float: ctypes.c_double, int: ctypes.c_long}
    converted = [ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else kinds[type(a)](a) for a in arguments]
    return getattr(c(), name)(*converted)


@functools.cache
def team():
    return Team(NUM_THREADS)


def fast(name):
    """The fastest version of a kernel."""
    return ladder(name).versions[-1].function


def speeds(ours, other):
    """Runs a second of both: more is better."""
    times = compare(ours, other, rounds=15)
    return Comparison(tuple(1 / t for t in times.ours), tuple(1 / t for t in times.other), times.busy)


def pair(name, ours, other, results, least, tolerance=1e-9):
    """A kernel of ours and of C's, each with a function that gives its result."""
    def check():
        ours(), other()
        assert np.allclose(*(result() for result in results), rtol=tolerance), f"{name}: results differ"

    return Benchmark(name, Goal(">=", least), functools.partial(speeds, ours, other), check, unit="1/s")


def vectors():
    rng = np.random.default_rng(1)
    last_level = max((cache.size_bytes for cache in detect_topology().caches), default=2**25)
    size = min(CACHES * last_level // 8, LARGEST_VECTOR)
    x, y = rng.random(size), rng.random(size)
    a, b = np.zeros(size), np.zeros(size)
    yield pair(
        "triad", lambda: fast("triad")(team(), x, y, 3.0, out=a), lambda: in_c("triad", size, 3.0, x, y, b),
        (lambda: a, lambda: b), 0.95,
    )
    sums = [0.0, 0.0]

    def ours():
        sums[0] = fast("dot")(team(), x, y)

    def other():
        sums[1] = in_c("dot", size, x, y)

    yield pair("dot", ours, other, (lambda: sums[0], lambda: sums[1]), 0.95)
    yield pair(
        "prefix sum", lambda: fast("prefix_sum")(team(), x, out=a), lambda: in_c("prefix_sum", size, x, b),
        (lambda: a, lambda: b), 0.95,
    )


def grids():
    start = np.random.default_rng(2).random((GRID, GRID))
    a, old, new = np.zeros_like(start), start.copy(), start.copy()

    def other():
        nonlocal old, new
        old[:], new[:] = start, start
        for _ in range(SWEEPS):
            in_c("jacobi", GRID, GRID, old, new)
            old, new = new, old

    yield pair(
        f"Jacobi, {SWEEPS} sweeps", lambda: fast("jacobi")(team(), start, SWEEPS, out=a), other,
        (lambda: a, lambda: old), 0.95,
    )
    rows, columns = IMAGE
    real, imaginary = np.linspace(-2, 0.6, columns), np.linspace(-1.2, 1.2, rows)
    ours, steps = np.zeros(IMAGE, np.int32), np.zeros(IMAGE, np.int64)
    yield pair(
        "Mandelbrot, dynamic", lambda: fast("mandelbrot")(team(), real, imaginary, MOST_STEPS, out=ours),
        lambda: in_c("mandelbrot", rows, columns, -2.0, 0.6, -1.2, 1.2, MOST_STEPS, steps),
        (lambda: ours.mean(axis=1), lambda: steps.mean(axis=1)), 0.95, 0.01,
    )  # a multiplication and an addition in one step round once: near the edge of the set some points differ


def others():
    values = np.random.default_rng(3).integers(0, BINS, NUM_VALUES)
    counts, found = np.zeros(BINS, np.int64), []

    def ours():
        found[:] = [fast("histogram")(team(), values, BINS)]

    yield pair(
        "histogram", ours, lambda: in_c("histogram", NUM_VALUES, values, BINS, counts), (lambda: found[0], lambda: counts), 0.95,
    )
    a, b = np.random.default_rng(4).random((2, MATRIX, MATRIX))
    products = np.zeros((2, MATRIX, MATRIX))

    def c_product():
        products[1] = 0
        in_c("matrix_product", MATRIX, BLOCK, a, b, products[1])

    yield pair(
        "matrix product, blocked", lambda: fast("matrix_product")(team(), a, b, out=products[0]), c_product,
        (lambda: products[0], lambda: products[1]), 0.9,
    )


@njit(cache=True, nogil=True)
def delay(length):
    a = 0.0
    for i in range(length):
        a += i
    return a


@njit(cache=True, nogil=True)
def delays(start, stop, length, sink):
    for k in range(start, stop):
        if delay(length) < 0:
            sink[k] = 1


@njit(cache=True, nogil=True)
def busy_for(start, stop, length, sink):
    for k in range(start, stop):
        if delay(length) < 0:
            sink[0] = 1


def empty_loops():
    """EPCC: time of a parallel loop of one delay a thread, less the delay alone, from Python and in C."""
    sink, unused = np.zeros(NUM_THREADS), np.zeros(REPEATS)
    run = team().parallel_for
    run(delays, NUM_THREADS, DELAY, sink), delays(0, REPEATS, DELAY, unused)
    samples = [], []
    with Contention() as contention:
        for _ in range(15):
            start = time.perf_counter()
            for _ in range(REPEATS):
                run(delays, NUM_THREADS, DELAY, sink)
            with_loop = (time.perf_counter() - start) / REPEATS
            start = time.perf_counter()
            delays(0, REPEATS, DELAY, unused)
            samples[0].append(with_loop - (time.perf_counter() - start) / REPEATS)
            samples[1].append(in_c("parallel_for_seconds", REPEATS, DELAY) - in_c("delay_seconds", REPEATS, DELAY))
    return Comparison(tuple(samples[0]), tuple(samples[1]), contention.busy)


def dynamic_chunks():
    """Time of a loop of a million chunks that do next to nothing."""
    counts = np.zeros(64 * (NUM_THREADS + 1), np.int64)

    def other():
        in_c("dynamic_seconds", CHUNKS, counts)

    unused = np.zeros(8, np.int64)
    return compare(
        lambda: team().parallel_for(count_chunk, CHUNKS, unused, schedule="dynamic"), other, rounds=9,
    )


@njit(cache=True, nogil=True)
def count_chunk(start, stop, counts):
    if stop < start:
        counts[0] = 1


def tracing():
    """A loop whose chunks take 10 us, with and without a trace."""
    sink = np.zeros(1)
    length = 1000
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(200):
            delay(length)
        length = max(1, int(length * CHUNK_S / ((time.perf_counter() - start) / 200)))
    run = functools.partial(team().parallel_for, busy_for, 2000, length, sink, schedule="dynamic")
    return compare(lambda: run(trace=True), run, rounds=15)


def benchmarks():
    yield from vectors()
    yield from grids()
    yield from others()
    yield Benchmark("empty parallel for, EPCC", Goal("<=", 3), empty_loops)
    yield Benchmark("dynamic chunks of one iteration", Goal("<=", 2), dynamic_chunks)
    yield Benchmark("tracing chunks of 10 us", Goal("<=", 1.1), tracing)
