"""Other sizes, data and orders of the threads."""


def cases(exercise):
    case = exercise.case
    return [
        case(2, 50, 3, data_seed=1, seed=11), case(3, 77, -2, data_seed=2, seed=12),
        case(5, 4, -9, data_seed=3, seed=13),
        case(6, 300, 0, data_seed=4, seed=14), case(12, 500, -8, data_seed=5, seed=15),
        case(33, 900, 4, data_seed=6, seed=16),
        case(3, 4001, -4, data_seed=7, compiled=True),
    ]
