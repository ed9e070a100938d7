"""Other arrivals."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("one request", [7], observed=10_000),
        case("a burst, and who is left of it", [*[0] * 12, *range(100, 400, 30), *[420] * 12], 10, 90, 150),
        case("faster than any environment", range(0, 200, 2), 9, 50, 30),
        case("everybody after exactly the keep-alive time", range(0, 3000, 125), 25, 25, 100),
        case("no time at all", [0, 0, 5, 5, 6], 0, 0, 5),
        *(random_case(seed) for seed in range(40, 52)),
    ]
