"""Other formats, other codes."""


def cases(exercise):
    case, ends, some = exercise.case, exercise.ends, exercise.some
    return [
        case("all codes", range(1 << 6), 3, 2), case("all codes", range(1 << 8), 5, 2),
        case("its ends", ends(8, 10), 8, 10),
        case("its ends", ends(2, 12), 2, 12), case("its ends", ends(10, 1), 10, 1),
        case("random codes", some(8, 7, 11), 8, 7),
        case("random codes", some(5, 10, 12), 5, 10), case("random codes", some(11, 52, 13), 11, 52),
        case("random codes", some(9, 30, 14), 9, 30),
    ]
