"""Other runs."""


def cases(exercise):
    training = exercise.training
    return [
        training(300, 21, 2.0**24, 7), training(100, 22, 1, 1, spikes=0.0), training(100, 23, 2.0**15, 4, spikes=0.6),
        training(40, 24, 64, 10, n=1), training(150, 25, 2.0**12, 2, n=40),
        exercise.case("overflow at every second step", [[1e-4], [1e9]] * 10, 256, 1),
    ]
