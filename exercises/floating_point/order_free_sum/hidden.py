"""Other terms, other numbers of ranks."""


def cases(exercise):
    hard, wild, halfway, plain = exercise.hard, exercise.wild, exercise.halfway, exercise.plain
    return [
        wild(1, 64, 31), plain(2, 1000, 32), halfway(3, 16, 33, unsafe_sends=True), wild(5, 200, 34, seed=4),
        halfway(6, 2, 36),
        hard(8, 1000, 1e60, 35), plain(12, 4000, 37, seed=5), hard(3, 300, 1e28, 38, real=True),
    ]
