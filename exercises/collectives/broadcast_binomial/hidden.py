"""Other numbers of ranks, roots and data."""

import numpy as np


def cases(exercise):
    case = exercise.case
    return [
        *(case(3, 4, root, data_seed=1) for root in range(3)),
        case(5, 11, 4, data_seed=2, unsafe_sends=True),
        case(6, 2, 3, data_seed=3, dtype=np.float64),
        case(7, 1, 6, data_seed=4, seed=5),
        case(8, 3, 5, data_seed=5),
        case(16, 5, 15, data_seed=6, unsafe_sends=True),
    ]
