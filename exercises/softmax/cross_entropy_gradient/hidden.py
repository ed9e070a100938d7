"""Other sizes, offsets and smoothings."""

import numpy as np


def cases(exercise):
    case, random_case, inf = exercise.case, exercise.random_case, np.inf
    return [
        random_case(6, 11, 0.15, offset=2e4, data_seed=1), random_case(100, 10, 0.0, data_seed=2),
        random_case(2, 700, 0.9, offset=1e6, data_seed=3), random_case(31, 33, 0.3, "float32", data_seed=4),
        random_case(5, 5, 1.0, data_seed=5), random_case(17, 1, 0.5, data_seed=6),
        case("the largest numbers", [[1e308, -1e308, 0.0], [-inf, -1e308, -1e308]], [1, 0], 0.1),
        case("certain", [[800.0, 0.0, -800.0]] * 3, [0, 1, 2], 0.05),
    ]
