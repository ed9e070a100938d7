"""Other models and meshes."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case(13, 17, 3, 2, 2, 2, 2), case(10**12, 10**13, 512, 6, 64, 8, 1), case(10**9, 0, 4, 2, 1, 1, 2),
        *map(random_case, range(100, 112)),
    ]
