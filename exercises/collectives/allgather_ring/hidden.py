"""Other blocks and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        case(2, 7, data_seed=1),
        case(3, 5, data_seed=2, unsafe_sends=True, seed=3),
        case(5, 300, data_seed=3, on_ring=True),
        case(6, 1, data_seed=4, dtype=np.float64, unsafe_sends=True),
        case(7, 11, data_seed=5),
        case(9, 0, data_seed=6),
        case(9, 2, data_seed=7, seed=4),
    ]
