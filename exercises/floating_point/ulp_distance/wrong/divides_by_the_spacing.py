"""The difference in units of the spacing at a.

status: incorrect
feedback: at every power of two
"""

import numpy as np


def ulp_distance(a, b):
    return [round(abs(x - y) / np.spacing(abs(x))) if x != y else 0 for x, y in zip(a, b, strict=True)]
