"""Other pairs."""

import numpy as np


def cases(exercise):
    case = exercise.case
    tiny = np.array([0.0, 5e-324, -5e-324, 2.0**-1022, -(2.0**-1022), -0.0])
    return [
        case("a few steps", *exercise.walks(11)), case("any two numbers", *exercise.pairs(12)),
        case("around zero", np.repeat(tiny, 6), np.tile(tiny, 6)),
        case("powers of two", 2.0 ** np.arange(-1074, 1024, 61), np.nextafter(2.0 ** np.arange(-1074, 1024, 61), 0)),
        case("one pair", [3.0], [-3.0]),
    ]
