"""Other sizes and data."""

import numpy as np


def cases(exercise):
    case, uneven = exercise.case, exercise.uneven
    return [
        case([0, 5], data_seed=1),
        case([4, 0, 0], data_seed=2, unsafe_sends=True),
        case([2] * 6, data_seed=3, dtype=np.float64),
        case(uneven(5, 40, 11), data_seed=4, seed=6),
        case(uneven(7, 6, 12), data_seed=5, unsafe_sends=True),
        case([3] * 8, data_seed=6),
        case(uneven(9, 9, 13), data_seed=7, dtype=np.float64, seed=7),
    ]
