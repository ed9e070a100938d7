"""Other numbers."""

import numpy as np


def cases(exercise):
    around, case = exercise.around, exercise.case
    return [
        around(3e8, 500, 21), around(-7e10, 64, 22), around(1e14, 300, 23, scale=100.0),
        exercise.outlier(1e10, 100, 24),
        exercise.drift(3000, 25), case("two numbers", [1e15, 1e15 + 1]), case("all equal", np.full(77, -1 / 3)),
        around(5e6, 100_000, 26), case("powers of ten", 10.0 ** np.arange(-10, 11)),
    ]
