"""Other sizes."""


def cases(exercise):
    case = exercise.case
    return [
        case(1, 9, 3, 4, data_seed=1), case(2, 10, 2, 4, data_seed=2, unsafe_sends=True), case(4, 5, 6, 5, data_seed=3),
        case(6, 7, 2, 2, data_seed=4, seed=5), case(11, 12, 3, 7, data_seed=5), case(3, 9, 5, 2, real=True, data_seed=6),
    ]
