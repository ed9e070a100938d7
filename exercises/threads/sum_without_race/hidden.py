"""Other sizes, data and orders of the threads."""


def cases(exercise):
    case = exercise.case
    return [
        case(2, 7, data_seed=1, seed=11), case(3, 31, data_seed=2, seed=12), case(5, 4, data_seed=3, seed=13),
        case(8, 129, data_seed=4, seed=14), case(12, 600, data_seed=5, seed=15), case(33, 66, data_seed=6, seed=16),
        case(3, 5001, data_seed=7, compiled=True),
    ]
