"""Other numbers of ranks."""


def cases(exercise):
    case = exercise.case
    sizes = [(23, 5, 7), (24, 7, 5), (100, 16, 9), (64, 3, 8), (1, 9, 4), (11, 12, 6), (6, 4, 4)]
    return [
        *(case(n, p, q, rank) for n, p, q in sizes for rank in sorted({0, q // 2, q - 2, q - 1})),
        case(3 * 10**12 + 1, 31, 17, 16), case(10**15, 1024, 1000, 500), case(9 * 10**17 + 1, 4, 3, 2),
        case(0, 5, 3, 1),
    ]
