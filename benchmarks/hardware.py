"""Our STREAM triad against the same loop in C with OpenMP."""

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.hardware.memory import stream_array_elements, stream_bandwidth
from labkit.hardware.timing import Comparison, Contention, seconds_of
from labkit.hardware.topology import detect_topology

SOURCE = """
void triad(double *restrict a, const double *restrict b, const double *restrict c, double s, long n) {
  #pragma omp parallel for schedule(static)
  for (long i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}
"""


def compiled_triad():
    folder = Path(tempfile.mkdtemp(prefix="labkit-bench-"))
    (folder / "triad.c").write_text(SOURCE)
    subprocess.run(
        ["gcc", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "triad.c", "-o", "triad.so"],
        cwd=folder, check=True,
    )
    library = ctypes.CDLL(str(folder / "triad.so"))
    shutil.rmtree(folder)
    pointer = np.ctypeslib.ndpointer(np.float64, flags="C")
    library.triad.argtypes = [pointer, pointer, pointer, ctypes.c_double, ctypes.c_long]
    return library.triad


def benchmarks():
    if shutil.which("gcc") is None:
        return
    topology = detect_topology()
    size, threads = stream_array_elements(topology), topology.num_usable
    os.environ["OMP_NUM_THREADS"] = str(threads)
    triad = compiled_triad()
    a, b, c = np.zeros(size), np.full(size, 2.0), np.full(size, 0.5)

    def check():
        triad(a, b, c, 3.0, size)
        assert (a == 3.5).all()
        stream_bandwidth(10_000, threads)  # checks its own results

    def measure():
        ours, other = [], []
        with Contention() as contention:
            for _ in range(9):
                ours.append(stream_bandwidth(size, threads, rounds=2)["triad"] / 1e9)
                best = min(seconds_of(lambda: triad(a, b, c, 3.0, size)) for _ in range(3))
                other.append(24 * size / best / 1e9)
        return Comparison(tuple(ours), tuple(other), contention.busy)

    yield Benchmark("triad bandwidth, ours against C with OpenMP", Goal(">=", 0.9), measure, check, unit="GB/s")
