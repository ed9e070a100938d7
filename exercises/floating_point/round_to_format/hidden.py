"""Other formats, other values."""


def cases(exercise):
    case = exercise.case
    found = []
    for seed, (e, m) in enumerate([(5, 10), (5, 2), (8, 10), (3, 2), (6, 9), (8, 7), (8, 23)], 20):
        found += [
            case("ties", exercise.ties(e, m, seed), e, m), case("overflow", exercise.overflow(e, m), e, m),
            case("subnormal numbers", exercise.subnormals(e, m, seed), e, m),
            case("any numbers", exercise.anything(e, m, seed), e, m),
        ]
    return found
