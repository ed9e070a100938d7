"""Other nodes, sizes and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        case(3, 2, 3, data_seed=1, unsafe_sends=True),
        case(5, 3, 20, data_seed=2),
        case(7, 2, 5, data_seed=3),
        case(7, 1, 2, data_seed=4, unsafe_sends=True, seed=6),
        case(9, 2, 1, data_seed=5, dtype=np.float64),
        case(9, 8, 4, data_seed=6),
    ]
