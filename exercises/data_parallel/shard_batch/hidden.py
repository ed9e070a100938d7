"""Other sizes."""


def cases(exercise):
    case = exercise.case
    return [
        case(5000, 128, 33, 32, 39, 11), case(5000, 128, 33, 0, 40, 11), case(17, 5, 3, 1, 7, 2),
        case(9, 2, 4, 3, 4, 5),
        case(100, 100, 9, 8, 2, 4),
    ]
