"""A pipeline on ranks: its step against the simulation with its own measured stage times, and against one core.

Two ranks compute, with one thread each. Four ranks have stages that sleep, because the cores here are two: what is
measured is what the executor, its messages and its waiting add.
"""

import functools
import json
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention

NUM_TURNS, NUM_STEPS = 5, 4


@functools.cache
def run(num_ranks, kind):
    """What the ranks have measured, and whether others used the machine."""
    with Contention() as contention:
        program = str(Path(__file__).with_name("_pipeline.py"))
        output = run_mpi([program, *map(str, (NUM_TURNS, NUM_STEPS, kind))], num_ranks, 200)
    return json.loads(output.splitlines()[-1]), contention.busy


def check(num_ranks, kind):
    found, _ = run(num_ranks, kind)
    for alone, piped in found["losses"]:
        assert alone == piped, f"losses {piped} instead of {alone}"


def against_simulation(num_ranks, kind, schedule):
    """Times of a step in ms."""
    found, busy = run(num_ranks, kind)
    return Comparison(*(tuple(1e3 * t for t in found[name][schedule]) for name in ("measured", "simulated")), busy)


def against_one_core():
    """Steps a second."""
    found, busy = run(2, "compute")
    return Comparison(tuple(1 / t for t in found["whole"]["1f1b"]), tuple(1 / t for t in found["alone"]), busy)


def benchmarks():
    for num_ranks, kind, words in ((2, "compute", "2 stages of 4 layers of 1024"), (4, "sleep", "4 stages that sleep")):
        for schedule in ("1f1b", "zb-h1"):
            yield Benchmark(
                f"step of {schedule} with 8 micro-batches, {words}, against the simulation with its own times",
                Goal("<=", 1.10), functools.partial(against_simulation, num_ranks, kind, schedule), unit="ms",
                check=functools.partial(check, num_ranks, kind),
            )
    yield Benchmark(
        "training steps of 1f1b with 8 micro-batches on 2 cores, against one core", Goal(">=", 1.5), against_one_core,
        unit="steps/s",
    )
