"""The load generator: does it hold 2000 requests a second, and how late does it send them?"""

import contextlib
import functools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention
from labkit.serving.load.arrivals import poisson
from labkit.serving.load.generator import run_load

RATE, DURATION_S, ROUNDS = 2000, 5, 5
BODIES = [json.dumps({"rows": [[(3 * k + j) % 17 / 16 for j in range(64)]]}) for k in range(16)]


@contextlib.contextmanager
def server():
    """A server that does next to nothing, in a process of its own."""
    program = str(Path(__file__).with_name("_load_server.py"))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, program], **pipes) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def lateness_of_sleep(times):
    """How late a process that only sleeps wakes up for these times: what the machine itself adds."""
    start, late = time.monotonic(), []
    for due in times:
        while (left := start + due - time.monotonic()) > 0:
            time.sleep(left)
        late.append(time.monotonic() - start - due)
    return late


@functools.cache
def runs():
    """Results, lateness of sleep of the same times (ms, 99 %), and whether others used the machine."""
    results, sleeps = [], []
    with Contention() as contention, server() as url:
        run_load(url, poisson(RATE, 1, 99), BODIES)
        for seed in range(ROUNDS):
            times = poisson(RATE, DURATION_S, seed)
            results.append(run_load(url, times, BODIES))
            sleeps.append(1e3 * np.quantile(lateness_of_sleep(times[times < 2]), 0.99))
    return results, sleeps, contention.busy


def all_answered():
    results, _, busy = runs()
    for result in results:
        assert result.num_ok == len(result) == result.num_planned, result.summary()
    words = [result.generator_limit for result in results if result.is_generator_limited]
    assert busy or len(words) <= ROUNDS // 2, words[0]


def rate():
    """Answers a second, of the rate that was offered."""
    results, _, busy = runs()
    return Comparison(tuple(r.throughput for r in results), tuple(r.offered_rate for r in results), busy)


def lateness():
    """Of 99 % of the sends, in ms."""
    results, sleeps, busy = runs()
    return Comparison(tuple(1e3 * float(np.quantile(r.lateness_s, 0.99)) for r in results), tuple(sleeps), busy)


def computing():
    """Share of a core that the generator used."""
    results, _, busy = runs()
    return Comparison((statistics.median(r.cpu_s / r.elapsed_s for r in results),), (1.0,), busy)


def benchmarks():
    on_time = Goal("<=", 1, "difference", "ms")
    yield Benchmark(f"answers at {RATE} requests a second, of those due", Goal(">=", 0.99), rate, all_answered, "/s")
    yield Benchmark("p99 lateness of its sends, against a bare sleep", on_time, lateness, unit="ms")
    yield Benchmark("cores it uses for that", Goal("<=", 0.7), computing, unit="cores")
