"""Other sizes, offsets and places of what is not finite."""

import numpy as np


def cases(exercise):
    case, random_case, inf, nan = exercise.case, exercise.random_case, np.inf, np.nan
    return [
        random_case(13, 17, offset=3e4, data_seed=1),
        random_case(2, 1500, offset=1e6, data_seed=2),
        random_case(5, 5, offset=1e3, spread=200.0, data_seed=3),
        random_case(64, 1, offset=1e5, data_seed=4),
        random_case(33, 129, "float32", offset=5e3, spread=20.0, data_seed=5),
        random_case(9, 1000, "float16", offset=3e4, data_seed=6),
        case("all kinds of rows", [
            [nan, -inf, -inf], [inf, -inf, 0.0], [-inf, -inf, -inf], [-inf, -inf, -7e5], [1e308, -1e308, 1e308],
            [5e-324, -5e-324, 0.0], [-0.0, 0.0, -inf],
        ]),
        case("subnormals", [[1e-45, 0.0, -1e-45], [1e-40, -inf, 88.0]], "float32"),
        case("70000 logits, one larger", np.r_[np.zeros(70_000), 8.0][None], "float16"),
    ]
