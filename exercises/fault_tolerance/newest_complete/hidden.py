"""Other folders."""


def cases(exercise):
    case, random_case = exercise.case, exercise.random_case
    return [
        case("a bit has changed in the last shard", "5 5 5", "6 6 6:bit"),
        case("each is damaged in its own way", "9 7:bit", "10 3:cut", "11 2:missing", "12:half 5", "13:no manifest 4"),
        case("shards of no bytes alone", "7 0 0", "8 4:cut 4"),
        case("steps of many digits", "999999 3", "1000000 3", "20 3"),
        *(random_case(seed) for seed in range(200, 210)),
    ]
