"""Our collectives against the MPI library's, in place on both sides; predictions against measurements."""

import collections
import functools
import json
import statistics
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention
from labkit.mpi.fit import choose, fit

MIB = 1 << 20
RANKS = (2, 4)
SIZES = (MIB, 4 * MIB, 16 * MIB)
PREDICTED_SIZES = tuple(65536 * 4**k for k in range(5))
NUM_ROUNDS, STARTS_TO_COMPARE = 7, 5
# Who is ahead by little differs from start to start of the ranks: many judge, and their mean counts.
NUM_STARTS, NUM_JUDGES, ROUNDS_A_START = 9, 25, 9
LEAST_ALLREDUCE = {MIB: 0.9, 4 * MIB: 1.0, 16 * MIB: 1.0}
LEAST_SHARED = {MIB: 4, 4 * MIB: 4, 16 * MIB: 3}


def on_ranks(num_ranks, *arguments):
    """What the program beside this file measured, and whether others used the machine."""
    with Contention() as contention:
        output = run_mpi([str(Path(__file__).with_name("_collectives.py")), *map(str, arguments)], num_ranks, 500)
    return json.loads(output.splitlines()[-1]), contention.busy


@functools.cache
def compared(num_ranks):
    """Times by size, operation and algorithm, of several starts; whether others used the machine."""
    samples, busy = {}, False
    for _ in range(STARTS_TO_COMPARE):
        found, was_busy = on_ranks(num_ranks, "compare", NUM_ROUNDS, *SIZES)
        busy = busy or was_busy
        for num_bytes, operations in found.items():
            for operation, rows in operations.items():
                for name, row in rows.items():
                    samples.setdefault((int(num_bytes), operation), {}).setdefault(name, []).extend(row)
    return samples, busy


def speeds(num_ranks, num_bytes, operation, pick):
    """Ours and the library's, in GB of the buffer a second; ``pick`` is the best of ours by their medians, or one."""
    samples, busy = compared(num_ranks)
    times = dict(samples[num_bytes, operation])
    library = times.pop("library")
    fused = times.pop("fused", None)  # its vectors are in shared memory from the start; all others are ordinary
    ours = fused if pick == "fused" else min(times.values(), key=statistics.median)
    rates = [tuple(num_bytes / t / 1e9 for t in row) for row in (ours, library)]
    return Comparison(*rates, busy)


def times_of(what, num_starts):
    """Times on two ranks by name and size, the mean of the medians of some starts; whether others used the machine."""
    medians, busy = collections.defaultdict(list), False
    for _ in range(num_starts):
        measured, was_busy = on_ranks(2, what, ROUNDS_A_START, *PREDICTED_SIZES)
        busy = busy or was_busy
        for num_bytes, rows in measured.items():
            for name, row in rows.items():
                medians[name, int(num_bytes)].append(statistics.median(row))
    return {key: statistics.mean(row) for key, row in medians.items()}, busy


@functools.cache
def predicted():
    """A fit, and the times of all algorithms on two ranks, by name and size."""
    return fit(2, seconds=6), *times_of("all", NUM_STARTS)


def errors():
    """Median relative error of the prediction, as a ratio to 1."""
    machine, times, busy = predicted()
    found = [abs(machine.predict_s(name, 2, num_bytes) / t - 1) for (name, num_bytes), t in times.items()]
    return Comparison((statistics.median(found),), (1.0,), busy)


def lost_by_choice(operation):
    """Time of the chosen algorithm and of the best measured one, at the size where the choice loses most.

    It is chosen as a user would, by the machine's own fit and run-off; the times that judge are other ones.
    """
    with Contention() as contention:
        chosen = {num_bytes: choose(operation, 2, num_bytes) for num_bytes in PREDICTED_SIZES}
    times, busy = times_of(operation, NUM_JUDGES)
    pairs = []
    for num_bytes, name in chosen.items():
        family = [t for (_, size), t in times.items() if size == num_bytes]
        pairs.append((times[name, num_bytes], min(family)))
    chosen_s, best_s = max(pairs, key=lambda pair: pair[0] / pair[1])
    return Comparison((chosen_s,), (best_s,), busy or contention.busy)


def benchmarks():
    for num_ranks in RANKS:
        for num_bytes in SIZES:
            where = f"{num_bytes // MIB} MiB, p = {num_ranks}"

            def of(operation, pick, num_ranks=num_ranks, num_bytes=num_bytes):
                return functools.partial(speeds, num_ranks, num_bytes, operation, pick)

            yield Benchmark(f"all-reduce {where}", Goal(">=", LEAST_ALLREDUCE[num_bytes]), of("allreduce", "best"), unit="GB/s")
            yield Benchmark(
                f"all-reduce fused in shared memory {where}", Goal(">=", LEAST_SHARED[num_bytes]), of("allreduce", "fused"),
                unit="GB/s",
            )
            yield Benchmark(f"broadcast {where}", Goal(">=", 0.9), of("broadcast", "best"), unit="GB/s")
            yield Benchmark(f"all-gather {where}", Goal(">=", 0.9), of("allgather", "best"), unit="GB/s")
    yield Benchmark("prediction: median error, p = 2", Goal("<=", 0.15), errors, unit="")
    for operation in ("allreduce", "broadcast", "allgather"):
        yield Benchmark(
            f"choose: against the best, worst size, {operation}, p = 2", Goal("<=", 1.05), functools.partial(lost_by_choice, operation),
        )
