"""Other arrivals."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("one request", [12345], 32, 2000, 800, 30),
        case("a stream that never pauses", range(0, 4000, 40), 8, 150, 60, 5),
        case("a server that is far too slow", range(0, 500, 3), 4, 20, 300, 50),
        case("full at the very moment of the limit", [0, 10, 50, 500, 550, 550, 550, 900], 3, 50, 30, 0),
        case("room for one more while the model works", [0, 0, 0, 10, 20, 95, 135, 300], 4, 15, 120, 5),
        case("large batches", [*range(0, 90), *range(5000, 5040), 9000], 32, 100, 400, 7),
        *(random_case(seed) for seed in range(60, 74)),
    ]
