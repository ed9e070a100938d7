"""The good steps before an overflow count on.

status: incorrect
feedback: after an overflow the good steps
"""

import numpy as np

MOST = 2.0**24


def scaled_steps(gradients, scale, growth_interval):
    applied = np.zeros_like(gradients)
    scales = np.zeros(len(gradients))
    num_good = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for step, gradient in enumerate(gradients):
            scales[step] = scale
            delivered = (gradient * np.float32(scale)).astype(np.float16)
            if not np.isfinite(delivered).all():
                scale = max(scale / 2, 1.0)
                continue
            applied[step] = delivered.astype(np.float32) / np.float32(scale)
            num_good += 1
            if num_good == growth_interval:
                scale = min(scale * 2, MOST)
                num_good = 0
    return applied, scales
