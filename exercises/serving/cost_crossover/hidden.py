"""Other services."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("exactly what is free", 1_000_000, 1024, [400.0], 0.1),
        case("a tiny bit more than a millisecond", 10_000_000, 1769, [1.0, 1.0000001, 2.0], 1.5),
        case("memory is paid before requests", 700_000, 10240, [61.0], 0.004),
        case("requests are paid before memory", 5_000_000, 128, [0.7, 1.7], 0.002),
        case("a very large instance", 2_000_000_000, 512, [12.5, 14.5, 13.0], 40.0),
        *(random_case(seed) for seed in range(300, 310)),
    ]
