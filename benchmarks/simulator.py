"""How fast ranks are simulated: against the goals of the project, on one core.

Of several runs the fastest counts: what else a machine does, and what its other guests do, only adds.
"""

import functools
import resource
import time

import numpy as np
from mpi4py import MPI

from labkit.bench import Benchmark, Goal
from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate
from labkit.hardware.timing import Comparison, Contention
from labkit.mpi.collectives.allreduce_rings import allreduce_ring

NETWORK = alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=65536)
GOALS_S = {256: 2.0, 1024: 30.0}
NUM_RUNS = {256: 9, 1024: 3}
MESSAGES_A_SECOND = 100_000
MEMORY_BYTES = 1e9


@functools.cache
def ring(num_ranks):
    """Seconds, messages, and whether others used the machine, of the fastest ring all-reduce."""
    return min(one_ring(num_ranks) for _ in range(NUM_RUNS[num_ranks]))


def one_ring(num_ranks):
    """As :func:`ring`, of one with a correct result."""

    def program(comm):
        x = np.full(num_ranks, comm.rank, float)
        allreduce_ring(comm, MPI.IN_PLACE, x)
        return x[0], x[-1]

    with Contention() as contention:
        start = time.perf_counter()
        run = simulate(num_ranks, program, network=NETWORK)
        seconds = time.perf_counter() - start
    total = num_ranks * (num_ranks - 1) / 2
    assert all(result == (total, total) for result in run.results), "wrong sum"
    assert run.counts.num_messages == 2 * num_ranks * (num_ranks - 1), run.counts
    return seconds, run.counts.num_messages, contention.busy


def time_of(num_ranks):
    seconds, _, busy = ring(num_ranks)
    return Comparison((seconds,), (GOALS_S[num_ranks],), busy)


def rate_of(num_ranks):
    seconds, num_messages, busy = ring(num_ranks)
    return Comparison((num_messages / seconds,), (MESSAGES_A_SECOND,), busy)


def memory_after(num_ranks):
    ring(num_ranks)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Comparison((peak / 1e9,), (MEMORY_BYTES / 1e9,), False)


def benchmarks():
    for num_ranks in GOALS_S:
        yield Benchmark(
            f"ring all-reduce on {num_ranks} ranks, against {GOALS_S[num_ranks]:g} s", Goal("<=", 1),
            functools.partial(time_of, num_ranks),
        )
    yield Benchmark(
        "messages a second, against 100 000", Goal(">=", 1), functools.partial(rate_of, 256), unit="1/s",
    )
    yield Benchmark(
        "memory of the process, 1024 ranks, against 1 GB", Goal("<=", 1), functools.partial(memory_after, 1024), unit="GB",
    )
