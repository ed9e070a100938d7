"""Other clocks and bounds."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("clocks far from 0", [10**12, 10**12 + 1, 10**12 + 5], 4, [0, 0, 0]),
        case("the fastest has ended", [9, 3, 5], 1, [1, 0, 0]),
        case("one that is left is far ahead", [50, 3, 5], 1, [0, 1, 1]),
        random_case(6, 0, 1), random_case(9, 4, 2), random_case(64, 7, 3), random_case(300, None, 4),
        random_case(11, 1, 5),
    ]
