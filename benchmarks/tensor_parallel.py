"""Tensor parallelism on 2 ranks of one thread each against one rank: the two products of a block, forward and backward.

What may be expected: with n tokens, width w and hidden h a pass has 12 n w h operations, of which each rank does half, and
two all-reduces of 4 n w bytes each, of which a rank sends as many. That is 3 h / 4 operations for a byte, whatever n is:
with h = 4096 and a core of 50 GFLOP/s a rank computes 60 ns for each byte, and an all-reduce takes about 0.5 ns for it. So
the number of tokens matters little, as long as matrices are not read for a few tokens only; it is chosen so that a pass
takes parts of a second.
"""

import functools
import json
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention

LAYERS = ((4096, 4096, 128), (4096, 16384, 64))  # width, hidden, tokens
NUM_TURNS, NUM_PASSES = 5, 2
TOLERANCE = 1e-5


@functools.cache
def algorithm(num_bytes):
    """What labkit.mpi chooses for two ranks of this machine."""
    from labkit.mpi.fit import choose

    return choose("allreduce", 2, num_bytes, itemsize=4)


@functools.cache
def run(layer):
    """What the ranks have measured, and whether others used the machine."""
    width, _, tokens = layer
    name = algorithm(4 * width * tokens)
    with Contention() as contention:
        program = str(Path(__file__).with_name("_tensor_parallel.py"))
        output = run_mpi([program, *map(str, layer), name, str(NUM_TURNS), str(NUM_PASSES)], 2, 200)
    return json.loads(output.splitlines()[-1]), contention.busy


def check(layer):
    found, _ = run(layer)
    num_bytes = 4 * layer[0] * layer[2]
    assert found["difference"] <= TOLERANCE, f"gradients differ by {found['difference']:.1e}"
    assert found["calls"] == [["all-reduce", False, num_bytes], ["all-reduce", True, num_bytes]], found["calls"]


def rates(layer):
    """Passes a second: of two ranks, and of one."""
    found, busy = run(layer)
    samples = found["samples"]
    return Comparison(*(tuple(1 / t for t in samples[name]) for name in ("two", "one")), busy)


def benchmarks():
    for layer in LAYERS:
        width, hidden, tokens = layer
        yield Benchmark(
            f"{width} -> {hidden} -> {width}, {tokens} tokens, 2 ranks against 1", Goal(">=", 1.4),
            functools.partial(rates, layer), functools.partial(check, layer), unit="1/s",
        )
