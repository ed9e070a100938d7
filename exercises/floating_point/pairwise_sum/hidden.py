"""Other lengths, other terms."""

import numpy as np


def cases(exercise):
    case = exercise.case
    small = [case(n, seed=9) for n in (10, 11, 12, 13, 15, 17, 31, 33, 63, 65, 127, 513)]
    return [
        *small, case(50, seed=2, dtype=np.float32), case(1023, seed=3, dtype=np.float32),
        case(2**14 - 1, seed=4, counted=True),
        case(2**14 + 1, seed=5, counted=True), case(10_007, seed=6, counted=True),
        case(6001, seed=7, dtype=np.float32, counted=True),
    ]
