"""Other sizes and data."""


def cases(exercise):
    random_case, uneven = exercise.random_case, exercise.uneven
    return [
        random_case([1, 1], 1, data_seed=1), random_case([2, 0, 3], 4, rows_apart=-900.0, data_seed=6), random_case(uneven(4, 20, 11), 5, around=2e6, data_seed=2, seed=5),
        random_case(uneven(6, 1, 12), 3, data_seed=3, unsafe_sends=True),
        random_case(uneven(12, 7, 13), 2, data_seed=4), random_case([90, 40], 4, around=-1e5, real=True, data_seed=5),
    ]
