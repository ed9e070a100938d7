import numpy as np


def fit_latency_bandwidth(sizes_bytes, times_s):
    """Divide each equation ``alpha + beta * n = t`` by t: then ordinary least squares of the right side 1."""
    sizes = sizes_bytes.astype(float)
    scale = sizes.max()  # both columns of about the same size
    matrix = np.column_stack([1 / times_s, sizes / scale / times_s])
    column_scale = np.linalg.norm(matrix, axis=0)
    found, *_ = np.linalg.lstsq(matrix / column_scale, np.ones(len(times_s)), rcond=None)
    alpha, beta = found / column_scale
    return float(alpha), float(beta / scale)
