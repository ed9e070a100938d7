"""Other numbers of ranks, rows and columns."""


def cases(exercise):
    random_case = exercise.random_case
    return [
        random_case(2, 9, 31, offset=800.0, data_seed=1), random_case(3, 1, 200, equal=False, offset=3e4, data_seed=2),
        random_case(6, 20, 18, equal=False, seed=11, data_seed=3), random_case(8, 4, 5, unsafe_sends=True, data_seed=4),
        random_case(12, 3, 150, offset=1e3, data_seed=5), random_case(3, 8, 90, offset=2e3, real=True, data_seed=6),
    ]
