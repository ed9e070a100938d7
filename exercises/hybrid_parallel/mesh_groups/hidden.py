"""Other meshes, and all ranks of a small one."""


def cases(exercise):
    case = exercise.case
    return [
        *(case(rank, 3, 2, 2) for rank in range(12)), case(59, 5, 4, 3), case(4095, 16, 16, 16), case(31, 1, 4, 8),
        case(17, 9, 2, 1), case(0, 64, 1, 1),
    ]
