"""Other sizes, numbers of threads and costs of a chunk."""


def cases(exercise):
    case = exercise.case
    return [
        case("equal", 500, 16, 0.5), case("rising", 777, 7, 0.001), case("falling", 1500, 12, 0.2),
        case("peak at the end", 2048, 16, 0.002), case("peak at the begin", 2048, 16, 0.01),
        case("every p-th is long", 999, 3, 0.02), case("few long ones", 3000, 8, 0.002, data_seed=1),
        case("few long ones", 1000, 4, 0.05, data_seed=2), case("every p-th is long", 4096, 32, 0.3),
    ]
