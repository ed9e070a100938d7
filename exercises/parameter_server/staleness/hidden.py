"""Other logs."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("pulls only", "0< 1< 0<"), case("one pull, three pushes of two", "7< 7> 3> 7> 3> 3< 3> 7>"),
        random_case(2, 30, 1), random_case(5, 400, 2), random_case(40, 3000, 3),
    ]
