"""Parameter server over windows: pull and push against the MPI library's own Get and Accumulate, in one run."""

import functools
import json
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention

MB = 10**6
SIZES = (25 * MB, 100 * MB)
NUM_ROUNDS = 15


@functools.cache
def measured():
    """The samples by size, and whether others used the machine."""
    with Contention() as contention:
        output = run_mpi([str(Path(__file__).with_name("_parameter_server.py")), *map(str, (NUM_ROUNDS, *SIZES))], 2, 300)
    return json.loads(output.splitlines()[-1]), contention.busy


def bandwidths(size):
    """Bytes pulled and pushed a second."""
    samples, busy = measured()
    rates = [tuple(2 * size / t / 1e9 for t in samples[str(size)][name]) for name in ("ours", "library")]
    return Comparison(*rates, busy)


def benchmarks():
    for size in SIZES:
        yield Benchmark(
            f"parameter server over windows, pull and push of {size // MB} MB, against Get and Accumulate", Goal(">=", 0.7),
            functools.partial(bandwidths, size), unit="GB/s",
        )
