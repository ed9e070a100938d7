"""Sums against NumPy and math.fsum, casts against ml_dtypes and NumPy; and casts of all float32 numbers, bit for bit.

All of it takes some minutes, most of them for the last rows. ``LABKIT_BENCH_QUICK=1`` leaves out the longest arrays,
and all float32 numbers but those of one format.
"""

import functools
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.summation.adversarial import hard_sum
from labkit.floating_point.summation.exact import sum_exact
from labkit.floating_point.summation.threaded import sum_twofold_threaded
from labkit.hardware.timing import Comparison, Contention, compare
from labkit.openmp.team import Team

NUM_THREADS = 2
NUM_TERMS = 10**6, 10**7, 5 * 10**7
NUM_VALUES = 10**7  # of a cast
ALL = 2**32
LIMIT_S = 60  # for all float32 numbers
OTHERS = {
    "bfloat16": "bfloat16", "E5M2": "float8_e5m2", "E4M3": "float8_e4m3fn", "E3M2": "float6_e3m2fn",
    "E2M3": "float6_e2m3fn", "E2M1": "float4_e2m1fn", "E5M2FNUZ": "float8_e5m2fnuz", "E4M3FNUZ": "float8_e4m3fnuz",
    "binary16": "float16",
}  # the types of ml_dtypes, the last one of NumPy
WITHOUT_NAN = "E3M2", "E2M3", "E2M1", "binary16"  # which is then no number that could be compared
QUICK = os.environ.get("LABKIT_BENCH_QUICK", "0") != "0"


@functools.cache
def team():
    return Team(NUM_THREADS)


def speeds(ours, other, rounds=15, warmup=2):
    """Runs a second of both: more is better."""
    times = compare(ours, other, rounds=rounds, warmup=warmup)
    return Comparison(tuple(1 / t for t in times.ours), tuple(1 / t for t in times.other), times.busy)


def row(name, least, ours, other, check, **options):
    return Benchmark(name, Goal(">=", least), functools.partial(speeds, ours, other, **options), check, unit="1/s")


def sums():
    for num_terms in NUM_TERMS[: 2 if QUICK else 3]:
        x = np.random.default_rng(1).standard_normal(num_terms)
        size = f"{num_terms:.0e} terms".replace("e+0", "e")
        yield row(
            f"exact sum, {size}, np.sum", 0.5, functools.partial(sum_exact, x, team=team()),
            functools.partial(np.sum, x), functools.partial(check_sums, x),
        )
        yield row(
            f"exact sum, {size}, math.fsum", 25, functools.partial(sum_exact, x, team=team()),
            functools.partial(math.fsum, x), lambda: None, rounds=9, warmup=1,
        )
        yield row(
            f"compensated sum, {size}, np.sum", 1.5, functools.partial(sum_twofold_threaded, x, team=team()),
            functools.partial(np.sum, x), functools.partial(check_sums, x),
        )
    x = np.random.default_rng(2).standard_normal(NUM_TERMS[0])
    x = np.ldexp(x, np.random.default_rng(3).integers(-900, 900, x.size))
    yield row(
        "exact sum, 1800 binary places, math.fsum", 25, functools.partial(sum_exact, x, team=team()),
        functools.partial(math.fsum, x), functools.partial(check_sums, x), rounds=9,
    )


def check_sums(x):
    """The exact sum is that of math.fsum, the compensated one within its bound; and so for terms that cancel."""
    for terms in (x, hard_sum(10_001, 1e40).x):
        exact = math.fsum(terms)
        ours, compensated = sum_exact(terms, team=team()), sum_twofold_threaded(terms, team=team())
        assert ours == exact, f"the exact sum is {exact!r}, ours {ours!r}"
        u = 2.0**-53
        gamma = terms.size * u / (1 - terms.size * u)
        bound = u * abs(exact) + gamma**2 * math.fsum(np.abs(terms))
        assert abs(compensated - exact) <= bound, f"error {abs(compensated - exact):g} beyond the bound {bound:g}"


def casts():
    x = np.random.default_rng(4).standard_normal(NUM_VALUES).astype(np.float32)
    for name, other in OTHERS.items():
        library = ml_dtypes if hasattr(ml_dtypes, other) else np
        dtype, library = np.dtype(getattr(library, other)), library.__name__
        yield cast_row(f"float32 to {name}, {library}", x, name, lambda d=dtype: x.astype(d))
        codes, typed = encode(x, name), x.astype(dtype)
        yield row(
            f"{name} to float64, {library}", 1, functools.partial(decode, codes, name),
            functools.partial(typed.astype, np.float64), functools.partial(check_decoded, codes, name, typed),
        )
    yield cast_row("float32 to TF32, four steps of numpy", x, "TF32", lambda: tf32(x))
    x = x.astype(np.float64)
    yield cast_row("float64 to binary32, numpy", x, "binary32", lambda: x.astype(np.float32))
    yield cast_row("float64 to E4M3, ml_dtypes", x, "E4M3", lambda: x.astype(ml_dtypes.float8_e4m3fn), is_checked=False)


def cast_row(name, x, fmt, other, is_checked=True):
    def check():
        ours, theirs = encode(x, fmt), other()
        wrong = np.count_nonzero(ours != theirs.view(ours.dtype))
        assert not is_checked or wrong == 0, f"{wrong} codes differ"  # ml_dtypes rounds float64 twice

    return row(name, 1, functools.partial(encode, x, fmt), other, check)


def check_decoded(codes, name, typed):
    np.testing.assert_array_equal(decode(codes, name), typed.astype(np.float64))


def tf32(x):
    """Of finite numbers: there is no such type in NumPy or ml_dtypes."""
    patterns = x.view(np.uint32)
    return (patterns + np.uint32(0xFFF) + (patterns >> np.uint32(13) & np.uint32(1))) >> np.uint32(13)


def note(text):
    """Progress, in place of what stood there before."""
    print(f"\r{text:50}\r", end="", file=sys.stderr, flush=True)


@functools.cache
def every_float32(name):
    """Seconds for all float32 numbers on two cores, and whether others used the machine; raises if a code is wrong."""
    program = str(Path(__file__).with_name("_every_float32.py"))
    readable, writable = os.pipe()
    expected = ALL - (2 * (2**23 - 1) if name in WITHOUT_NAN else 0)
    num_done = num_shown = num_wrong = example = 0
    with Contention() as contention:
        start = time.perf_counter()
        processes = [
            subprocess.Popen([sys.executable, program, name, OTHERS[name], str(k), str(NUM_THREADS)], stdout=writable)
            for k in range(NUM_THREADS)
        ]
        os.close(writable)
        try:
            with open(readable) as lines:
                for size, wrong, pattern in (map(int, line.split()) for line in lines):
                    num_done, num_wrong = num_done + size, num_wrong + wrong
                    example = pattern if wrong else example
                    if num_done - num_shown >= ALL // 20:
                        num_shown = num_done
                        note(f"{name}: {num_done / ALL:.0%} of all float32 numbers")
        finally:
            note("")
            for process in processes:
                process.kill()
                process.wait()
        seconds = time.perf_counter() - start
    assert num_done == expected, f"{num_done} numbers were compared, not {expected}"
    assert num_wrong == 0, f"{num_wrong} codes differ, that of the float32 with the bits {example:#010x} among them"
    return seconds, contention.busy


def time_of_all(name):
    seconds, busy = every_float32(name)
    return Comparison((seconds,), (float(LIMIT_S),), busy)


def benchmarks():
    yield from sums()
    yield from casts()
    for name in ["E4M3"] if QUICK else OTHERS:
        yield Benchmark(
            f"all float32 to {name}, against {LIMIT_S} s", Goal("<=", 1), functools.partial(time_of_all, name),
            functools.partial(every_float32, name),
        )
