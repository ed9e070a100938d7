"""Other terms."""

import numpy as np


def cases(exercise):
    hard, random = exercise.hard_case, exercise.random_case
    return [
        exercise.case("one term", np.array([0.1])), exercise.case("both zeros", np.array([0.0, -0.0])),
        exercise.case("it all cancels", np.array([1e16, 1.0, 2.0**-70, -1e16, -1.0, -(2.0**-70)])),
        random(1000, 21), hard(1000, 1e20, 22), hard(1000, 1e30, 23), hard(64, 1e8, 24), random(1000, 25, np.float32),
        hard(1000, 1e12, 26, np.float32),
    ]
