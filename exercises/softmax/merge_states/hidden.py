"""Other states; and states of the parts of a row, cut anywhere."""

import numpy as np


def states_of_cuts(exercise):
    """A row with -inf in it, cut at every place."""
    row = np.array([3.0, -np.inf, 700.0, -np.inf, 699.0, -40.0, 1e4, -np.inf, 1e4])

    def state(part):
        finite = part[part > -np.inf]
        return (finite.max(), float(np.exp(finite - finite.max()).sum())) if finite.size else (-np.inf, 0.0)

    return exercise.case(
        "a row cut at every place", [(*state(row[:at]), *state(row[at:])) for at in range(len(row) + 1)]
    )


def cases(exercise):
    inf, nan = np.inf, np.nan
    return [
        states_of_cuts(exercise), exercise.random_case(7, 3.0, 1), exercise.random_case(500, 300.0, 2),
        exercise.random_case(64, 1e150, 3),
        exercise.case("odd ones together", [
            (-inf, 0.0, nan, nan), (nan, 1.0, -inf, 0.0), (-inf, 0.0, inf, nan), (-inf, 0.0, 0.0, 1e300),
            (5e-324, 1.0, 0.0, 1e-3), (-inf, nan, -inf, 0.0),
        ]),
    ]
