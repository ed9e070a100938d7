"""Normal equations whose products of sizes are made in the integers' dtype.

status: incorrect
feedback: overflow their integer dtype
"""

import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    weights = 1 / times_s**2
    squares = sizes_bytes * sizes_bytes
    mixed = (weights * sizes_bytes).sum()
    matrix = [[weights.sum(), mixed], [mixed, (weights * squares).sum()]]
    alpha, beta = np.linalg.solve(matrix, [(weights * times_s).sum(), (weights * sizes_bytes * times_s).sum()])
    return float(alpha), float(beta)
