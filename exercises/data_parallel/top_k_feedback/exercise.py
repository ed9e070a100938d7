"""Top-k compression with error feedback: nothing is lost, only late."""

import numpy as np

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def exact(gradient, residual, k):
    """(indices, values, residual) by sorting pairs."""
    total = gradient + residual
    chosen = sorted(sorted(range(len(total)), key=lambda i: (-abs(total[i]), i))[:k])
    indices = np.array(chosen, np.int64)
    rest = total.copy()
    rest[indices] = 0
    return indices, total[indices], rest


def case(label, gradient, residual, k):
    arguments = (np.array(gradient, np.float64), np.array(residual, np.float64), k)
    indices, values, rest = exact(*arguments)
    return Case(label, (arguments,), ({"return": (indices, values), 0: arguments[0].copy(), 1: rest},), rtol=0)


def random_case(n, k, *, ties=False, data_seed=0):
    rng = np.random.default_rng([n, k, data_seed])
    gradient, residual = rng.standard_normal((2, n))
    if ties:
        gradient, residual = np.round(2 * gradient), np.round(2 * residual)
    return case(f"{n} elements, k = {k}" + ", many equal ones" * ties, gradient, residual, k)


def cases():
    nothing = [0.0] * 4
    return [
        case("a little residual", [4.0, 1.0, 3.0, 2.0], [0.5, 0.0, 0.0, -1.0], 2),
        case("a large negative element", [1.0, -4.0, 3.0, 2.0], nothing, 1),
        case("the example", [1.0, -3.0, 2.0], [0.5, -0.5, 2.0], 1),
        case("a debt decides", [3.0, 1.0, 2.0, 0.0], [0.0, 4.0, 0.0, 1.0], 2),
        case("k = 0", [1.0, 2.0, 3.0], [1.0, 0.0, 1.0], 0),
        case("k = n", [1.0, 2.0, 3.0], [1.0, 0.0, 1.0], 3),
        case("equal elements", [2.0, 2.0, 2.0, 1.0], nothing, 2),
        case("equal by absolute value", [2.0, -2.0, 1.0, 2.0], nothing, 2),
        case("no elements", [], [], 0),
        random_case(50, 5), random_case(200, 20, ties=True), random_case(1000, 10), random_case(17, 16),
    ]


def _parts(failure):
    """(indices, values, gradient afterwards, residual afterwards) of the answer."""
    indices, values = failure.actual(0)
    return np.asarray(indices), np.asarray(values), failure.actual(0, 0), failure.actual(0, 1)


def _sends(choose):
    """Whether the indices are what ``choose(gradient, residual, k)`` gives."""

    def applies(failure):
        gradient, residual, k = failure.case.arguments[0]
        wanted, right = np.sort(choose(gradient, residual, k)), failure.case.expected[0]["return"][0]
        found = np.sort(_parts(failure)[0])
        return failure.status is Status.INCORRECT and np.array_equal(found, wanted) and not np.array_equal(found, right)

    return applies


def _is_sent_right(failure):
    """Indices and values are right."""
    indices, values = failure.case.expected[0]["return"]
    mine = _parts(failure)
    return failure.status is Status.INCORRECT and np.array_equal(mine[0], indices) and np.array_equal(mine[1], values)


def _leaves(variant):
    """What is sent is right, and the residual is ``variant(gradient, old residual, indices)``."""

    def applies(failure):
        gradient, residual, _ = failure.case.arguments[0]
        indices, _, _, rest = _parts(failure)
        return _is_sent_right(failure) and np.array_equal(rest, variant(gradient, residual, indices))

    return applies


def _without(total, indices):
    total = total.copy()
    total[indices] = 0
    return total


def _by(key):
    """The k first by a key, of equal ones the lower index."""
    return lambda gradient, residual, k: np.argsort(-key(gradient, residual), kind="stable")[:k]


def _last_of_ties(gradient, residual, k):
    total = np.abs(gradient + residual)
    return np.argsort(total, kind="stable")[len(total) - k :]


exercise = Exercise(
    title="The largest elements, and the debt",
    function="top_k",
    points=5,
    cases=cases,
    hints=(
        "What there is to send is the gradient and the debt together. Every element of it is either sent now or "
        "stays in "
        "the residual: never both, never neither.",
        "Sort the absolute values from the largest to the smallest, with a stable sort, so that equal ones keep "
        "their order. "
        "The first k places are sent. Write the rest into residual, with 0 where something was sent.",
        "total = gradient + residual\n"
        "indices = np.sort(np.argsort(-np.abs(total), kind=\"stable\")[:k])\n"
        "values = total[indices]\n"
        "residual[:] = total\n"
        "residual[indices] = ...  # what is not sent of these",
    ),
    slips=(
        Slip(
            "The gradient has changed: it belongs to the caller. gradient + residual makes a new array.",
            lambda f: f.status is Status.INCORRECT and not np.array_equal(_parts(f)[2], f.case.arguments[0][0]),
        ),
        Slip(
            "With k = 0 everything was sent: a slice [-0:] is the whole array. Sort downwards and take [:k].",
            lambda f: f.status is Status.INCORRECT and f.case.arguments[0][2] == 0 and len(_parts(f)[0]) > 0,
        ),
        Slip(
            "The right elements in another order: indices are ascending.",
            lambda f: f.status is Status.INCORRECT and not np.array_equal(_parts(f)[0], f.case.expected[0]["return"][0])
            and np.array_equal(np.sort(_parts(f)[0]), f.case.expected[0]["return"][0]),
        ),
        Slip(
            "The elements were chosen without their signs removed: -3 is a larger step than 2. The absolute value "
            "counts.",
            _sends(_by(lambda g, r: g + r)),
        ),
        Slip(
            "What is sent is of the gradient alone: the residual has not been added. Its debts would never be paid.",
            lambda f: f.status is Status.INCORRECT and f.case.arguments[0][1].any()
            and np.array_equal(_parts(f)[1], f.case.arguments[0][0][_parts(f)[0]])
            and not _is_sent_right(f),
        ),
        Slip(
            "The elements were chosen by the gradient of this step. What counts is the sum with the residual: a "
            "small element "
            "that has waited for long is large.",
            _sends(_by(lambda g, r: np.abs(g))),
        ),
        Slip(
            "Of equally large elements, take those with the lower index: sort the negative absolute values with "
            "kind=\"stable\", and take the first k.",
            _sends(_last_of_ties),
        ),
        Slip(
            "The residual has not changed: residual = ... names another array. residual[:] = ... writes into the "
            "one that the "
            "next step will get.",
            lambda f: f.case.arguments[0][2] < len(f.case.arguments[0][0]) and _leaves(lambda g, r, i: r)(f),
        ),
        Slip(
            "The residual is 0 everywhere: what was not sent is lost. It has to stay there for the next step.",
            _leaves(lambda g, r, i: np.zeros_like(r)),
        ),
        Slip(
            "What was sent is still in the residual: it would be sent again. Set it to 0 at the indices.",
            _leaves(lambda g, r, i: g + r),
        ),
        Slip(
            "The new residual has what this gradient left over, and the old residual is forgotten. Both wait.",
            _leaves(lambda g, r, i: _without(g, i)),
        ),
        Slip(
            "The old residual counts twice: it is in the sum already, so the new one replaces it.",
            _leaves(lambda g, r, i: _without(g + 2 * r, i)),
        ),
    ),
)
