"""Other vectors."""


def cases(exercise):
    hard, random = exercise.hard_case, exercise.random_case
    return [
        exercise.case("one pair", [0.1], [0.3]), random(1000, 21), random(64, 22), hard(1000, 1e16, 23),
        hard(1000, 1e20, 24),
        hard(300, 1e28, 25), hard(1000, 1e32, 26), hard(64, 1e8, 27),
    ]
