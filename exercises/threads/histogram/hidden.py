"""Other sizes, data and orders of the threads."""


def cases(exercise):
    case = exercise.case
    return [
        case(2, 9, 3, data_seed=1, seed=11), case(3, 80, 2, data_seed=2, seed=12),
        case(5, 300, 9, data_seed=3, seed=13),
        case(8, 1000, 6, data_seed=4, seed=14), case(12, 11, 4, data_seed=5, seed=15),
        case(33, 700, 2, data_seed=6, seed=16),
        case(3, 4001, 7, data_seed=7, compiled=True),
    ]
