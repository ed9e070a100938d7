"""Other jobs."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("a thousand machines, a long write", 3.6e5, 600.0, 900.0, 1e8, 1000),
        case("hardly any failure", 50.0, 1e-4, 0.0, 1e13, 1),
        case("restarts that never end", 1e4, 1.0, 5e5, 5e5, 800),
        case("an interval as long as the work", 800.0, 100.0, 10.0, 3200.0, 1),
        *(random_case(seed) for seed in range(100, 108)),
    ]
