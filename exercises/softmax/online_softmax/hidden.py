"""Other rows."""

import numpy as np


def cases(exercise):
    case, random_case, inf, nan = exercise.case, exercise.random_case, np.inf, np.nan
    zigzag = np.where(np.arange(151) % 2, 500.0, -500.0) + np.arange(151)
    return [
        random_case(2, 5.0, 700.0, 1), random_case(77, 1e5, 0.0, 2), random_case(400, 0.01, 1e8, 3),
        random_case(33, 40.0, -1e6, 4), case("a zigzag", zigzag), case("the largest last", [*[-inf] * 9, -1e300]),
        case("equal ones", [-3e5] * 100), case("NaN last", [1.0, 2.0, nan]), case("+inf twice", [inf, 0.0, inf]),
        case("-inf, then +inf", [-inf, inf]), case("tiny ones", [5e-324, -5e-324, 0.0, -745.0, -700.0]),
    ]
