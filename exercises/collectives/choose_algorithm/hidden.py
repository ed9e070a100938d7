"""Other numbers of ranks and other machines."""


def cases(exercise):
    case, crossovers = exercise.case, exercise.crossovers
    return [
        case(1, 0, (1e-6, 1e-9, 0.0)),
        *crossovers(5, (3e-6, 2e-10, 1e-10)),
        *crossovers(9, (1e-5, 1e-10, 5e-10)),
        *crossovers(12, (2e-6, 1e-9, 1e-9)),
        *crossovers(64, (1e-6, 4e-11, 2e-10)),
        *crossovers(129, (1e-6, 1e-9, 0.0)),
        *crossovers(513, (2e-5, 1e-9, 2e-10)),
    ]
