"""Other chains."""


def cases(exercise):
    random = exercise.random_case
    return [
        random(9, 4, seed=11), random(12, 12, seed=12), random(30, 7, seed=13), random(200, 17, seed=14),
        random(120, 30, seed=15, dear=True), exercise.case("links only", [0.0] * 6, [3.0, 1.0, 4.0, 1.0, 5.0], 3),
    ]
