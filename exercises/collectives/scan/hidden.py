"""Other sizes and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        case(2, 2, data_seed=1),
        case(3, 4, data_seed=2, unsafe_sends=True),
        case(4, 7, data_seed=3, seed=6),
        case(6, 1, data_seed=4, unsafe_sends=True),
        case(7, 3, data_seed=5),
        case(8, 2, data_seed=6, dtype=np.float64),
        case(9, 11, data_seed=7, seed=7),
    ]
