"""Other sizes."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        random_case(300, 30, ties=True, data_seed=1), random_case(5, 0, data_seed=2), random_case(64, 64, data_seed=3),
        case("one element", [-1.0], [0.25], 1), random_case(2000, 100, data_seed=4),
    ]
