"""Peak floating-point rate: what the best matrix product of this machine reaches."""

from __future__ import annotations

import numpy as np

from labkit.hardware.timing import best_of


def matmul_rate(dtype: str = "float64", size: int = 1024, rounds: int = 5) -> float:
    """Flops per second of a matrix product of NumPy's BLAS, with all the threads it uses.

    A product of two (n, n) matrices takes 2 n^3 flops and little memory traffic, so it comes
    closest to the peak of the processor.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.random((size, size)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    return 2 * size**3 / best_of(lambda: np.matmul(a, b, out=out), rounds)
