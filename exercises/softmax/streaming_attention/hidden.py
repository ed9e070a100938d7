"""Other sizes."""


def cases(exercise):
    random_case = exercise.random_case
    return [
        random_case(1, 1, 1, data_seed=1), random_case(11, 513, 7, size=3.0, data_seed=2),
        random_case(2, 5000, 2, size=2000.0, order="rising", data_seed=3),
        random_case(6, 999, 16, size=500.0, order="falling", data_seed=4),
        random_case(9, 2500, 70, size=10.0, num_passes=exercise.NUM_PASSES, data_seed=5),
        exercise.large_case(1100, 33_000, data_seed=6),
    ]
