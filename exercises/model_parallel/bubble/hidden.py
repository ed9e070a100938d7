"""Other schedules and times."""


def cases(exercise):
    return [
        exercise.random_case("gpipe", 6, 9, 5), exercise.random_case("1f1b", 9, 4, 6), exercise.random_case("1f1b", 7, 30, 7),
        exercise.equal_case("gpipe", 12, 5, 0.0), exercise.equal_case("1f1b", 5, 40, 0.3),
        exercise.random_case("greedy", 5, 12, 8), exercise.stuck_case(5, 6),
    ]  # fmt: skip
