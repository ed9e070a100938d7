"""Other matrices and orders of the tasks."""


def cases(exercise):
    case = exercise.case
    return [
        case(2, 4, 2, data_seed=1, seed=11), case(3, 3, 3, data_seed=2, seed=12), case(5, 5, 1, data_seed=3, seed=13),
        case(6, 2, 4, data_seed=4, seed=14), case(12, 6, 1, data_seed=5, seed=15), case(33, 4, 2, data_seed=6, seed=16),
        case(3, 5, 4, data_seed=7, compiled=True),
    ]
