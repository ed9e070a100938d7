"""Other sizes, data and orders of the threads."""


def cases(exercise):
    case = exercise.case
    return [
        case(2, 5, data_seed=1, seed=11), case(3, 32, data_seed=2, seed=12), case(6, 5, data_seed=3, seed=13),
        case(8, 129, data_seed=4, seed=14), case(12, 700, data_seed=5, seed=15), case(33, 67, data_seed=6, seed=16),
        case(3, 5000, data_seed=7, compiled=True),
    ]
