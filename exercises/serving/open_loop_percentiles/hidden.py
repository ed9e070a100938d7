"""Other plans."""


def cases(exercise):
    case, one_client, random_case = exercise.case, exercise.one_client, exercise.random_case
    return [
        case("all wait equally long", [0, 1, 2], [0, 1, 2], [1, 2, 3], [1, 333, 334, 666, 667, 1000]),
        case("two that came at once", [1.0, 1.0], [1.0, 1.5], [1.5, 4.0], [499, 500, 501]),
        one_client("a pause at the end", 200, 0.0625, lambda i: 3.0 if i == 199 else 0.03125, permille=[994, 995, 996]),
        one_client("the last is lost", 7, 1.0, lambda i: 0.5 + 0.125 * i, lost=(6,), shuffled=True),
        one_client("a queue that grows", 500, 0.125, lambda i: 0.15625, shuffled=True),
        *(random_case(seed) for seed in range(50, 62)),
    ]
