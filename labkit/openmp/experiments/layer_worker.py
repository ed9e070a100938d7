"""A process of :mod:`.layers`: matrix products on so many Python threads, for so long, as often as it is told to.

Run as ``python -m labkit.openmp.experiments.layer_worker SIZE``. Each line of its input is ``num_threads seconds``; it
answers with ``flops_per_second wrong_products``, and ends with its input. The BLAS threads come from the environment.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor


def main(size: int) -> None:
    import numpy as np

    i = np.arange(size)
    a, b = (i[:, None] + 2 * i) % 5 + 0.0, (3 * i[:, None] + i) % 7 + 0.0  # small whole numbers: products are exact
    expected = float(a.sum(axis=0) @ b.sum(axis=1))

    def products(until: float) -> tuple[int, int]:
        """How many were done until then, at least one, and how many of them were wrong."""
        out, count, wrong = np.empty_like(a), 0, 0
        while not count or time.monotonic() < until:
            np.matmul(a, b, out=out)
            count += 1
            wrong += float(out.sum()) != expected
        return count, wrong

    products(time.monotonic() + 1e-3)
    print("ready", flush=True)
    pools: dict[int, ThreadPoolExecutor] = {}
    for line in sys.stdin:
        num_threads, duration_s = int(line.split()[0]), float(line.split()[1])
        pool = pools.setdefault(num_threads, ThreadPoolExecutor(num_threads))
        start = time.monotonic()
        done = list(pool.map(products, [start + duration_s] * num_threads))
        elapsed_s = time.monotonic() - start
        print(2 * size**3 * sum(n for n, _ in done) / elapsed_s, sum(wrong for _, wrong in done), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
