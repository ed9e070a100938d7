"""Other numbers of ranks, steps and weights."""


def cases(exercise):
    case = exercise.case
    return [
        case(4, 9, [3, 0, 6], data_seed=1), case(5, 2, [1, 2, 3, 4], seed=3, data_seed=1),
        case(6, 1, [4, 4, 4, 4, 4], unsafe_sends=True, data_seed=1), case(7, 40, [0, 0, 0, 0, 0, 2], data_seed=2),
        case(4, 3, [5, 2, 1], real=True, data_seed=3),
    ]
