"""What interruption and tracing cost: our communicator against plain mpi4py, in one run of two ranks."""

import functools
import json
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention


@functools.cache
def measured():
    """The samples by size and kind, and whether others used the machine."""
    with Contention() as contention:
        output = run_mpi([str(Path(__file__).with_name("_ping_pong.py"))], 2, 300)
    return json.loads(output.splitlines()[-1]), contention.busy


def times(size, ours, other, scale=1.0):
    samples, busy = measured()
    pick = samples[str(size)]
    return Comparison(tuple(t * scale for t in pick[ours]), tuple(t * scale for t in pick[other]), busy)


def bandwidths(size):
    samples, busy = measured()
    rates = {name: tuple(size / t / 1e9 for t in ts) for name, ts in samples[str(size)].items()}
    return Comparison(rates["ours"], rates["raw"], busy)


def benchmarks():
    yield Benchmark(
        "Send/Recv 8 B, interruptible against plain", Goal("<=", 5, "difference", "us"),
        lambda: times(8, "ours", "raw", 1e6), unit="us",
    )
    yield Benchmark(
        "Send/Recv 8 B, traced against interruptible", Goal("<=", 5, "difference", "us"),
        lambda: times(8, "traced", "ours", 1e6), unit="us",
    )
    for size in (2**20, 2**24):
        yield Benchmark(
            f"bandwidth at {size >> 20} MiB, interruptible against plain", Goal(">=", 0.95),
            functools.partial(bandwidths, size), unit="GB/s",
        )
