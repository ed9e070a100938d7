"""Other sizes and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        case(2, 1, data_seed=1),
        case(3, 5, data_seed=2, unsafe_sends=True),
        case(4, 103, data_seed=3, on_ring=True),
        case(5, 53, data_seed=4, dtype=np.float64, seed=6),
        case(6, 13, data_seed=5, unsafe_sends=True),
        case(7, 6, data_seed=6),
        case(9, 100, data_seed=7, seed=7),
    ]
