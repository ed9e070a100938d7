"""Other sizes, offsets and types."""

import numpy as np


def cases(exercise):
    case, random_case, inf, nan = exercise.case, exercise.random_case, np.inf, np.nan
    return [
        random_case(13, 17, offset=3e4, data_seed=1), random_case(2, 1000, offset=1e8, data_seed=2),
        random_case(5, 5, offset=1e3, spread=200.0, data_seed=3), random_case(64, 1, offset=1e5, data_seed=4),
        random_case(33, 60, "float32", offset=5e3, spread=20.0, data_seed=5),
        random_case(9, 300, "float16", offset=2e4, data_seed=6),
        case("all kinds of rows", [
            [nan, -inf, -inf], [inf, -inf, 0.0], [-inf, -inf, -inf], [-inf, -inf, -7e5], [8e307, -8e307, 8e307],
            [5e-324, -5e-324, 0.0], [-0.0, 0.0, -inf],
        ]),
        case("a step that float32 just has", [[8388608.0, 8388607.5, 0.0]], "float32"),
    ]
