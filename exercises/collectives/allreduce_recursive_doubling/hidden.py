"""Other sizes and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        case(2, 2, data_seed=1),
        case(3, 4, data_seed=2, unsafe_sends=True),
        case(5, 50, data_seed=3, dtype=np.float64),
        case(6, 1, data_seed=4, unsafe_sends=True),
        case(7, 3, data_seed=5, seed=6),
        case(8, 11, data_seed=6),
        case(9, 2, data_seed=7, unsafe_sends=True, seed=7),
    ]
