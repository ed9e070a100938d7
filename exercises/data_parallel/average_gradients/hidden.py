"""Other numbers of samples and shapes."""


def cases(exercise):
    case, uneven = exercise.case, exercise.uneven
    return [
        case([1], data_seed=6), case([0, 9], [(5, 5)], data_seed=1),
        case(uneven(4, 100, 11), data_seed=2, seed=4),
        case(uneven(5, 1, 12), [(1,)], data_seed=3, unsafe_sends=True), case(uneven(10, 8, 13), data_seed=4),
        case([2, 5], [(300,), (7, 7)], real=True, data_seed=5),
    ]
