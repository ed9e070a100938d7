"""Neumaier's sum by its bits: terms that cancel, in both types."""

import ast
from fractions import Fraction

import numpy as np

from labkit.floating_point.summation.adversarial import hard_sum
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def compensated(x):
    """The sum as it must be, with rounding errors from fractions."""
    number = x.dtype.type
    total = errors = number(0)
    for term in x:
        new = number(float(total) + float(term)) if number is np.float32 else total + term
        lost = Fraction(float(total)) + Fraction(float(term)) - Fraction(float(new))
        errors = errors + number(float(lost))
        total = new
    return total + errors


def plain(x):
    total = x.dtype.type(0)
    for term in x:
        total = total + term
    return total


def kahan(x):
    total = lost = x.dtype.type(0)
    for term in x:
        term = term - lost
        new = total + term
        lost = (new - total) - term
        total = new
    return total


def one_branch(x, larger):
    """The error as if the running total (or the term) were always the larger one."""
    total = errors = x.dtype.type(0)
    for term in x:
        new = total + term
        errors = errors + ((total - new) + term if larger(abs(total), abs(term)) else (term - new) + total)
        total = new
    return total, errors


def in_place(x):
    """The error goes back into the total at every step."""
    total = x.dtype.type(0)
    for term in x:
        new = total + term
        lost = (total - new) + term if abs(total) >= abs(term) else (term - new) + total
        total = new + lost
    return total


def minus(x):
    total, errors = one_branch(x, lambda a, b: a >= b)
    return total - errors


def wide(x):
    return compensated(x.astype(np.float64))


def case(label, x):
    return Case(f"{label}, n = {len(x)}, {x.dtype}", ((x,),), ({"return": compensated(x), 0: x.copy()},), rtol=0.0)


def random_case(n, seed, dtype=np.float64):
    """Numbers of all sizes, which do not cancel more than by chance."""
    rng = np.random.default_rng([n, seed])
    return case("numbers of all sizes", (rng.standard_normal(n) * 2.0 ** rng.integers(-20, 20, n)).astype(dtype))


def hard_case(n, condition, seed, dtype=np.float64):
    return case(f"condition number {condition:g}", hard_sum(n, condition, seed=seed, dtype=dtype).x)


def cases():
    return [
        case("no error at all", np.array([1.0, 2.0, 3.0])),
        case("four terms", np.array([0.1, 0.3, 0.7, -1.0])),
        case("a small term", np.array([1.0, 2.0**-60, -1.0])),
        case("a term larger than the total", np.array([1.0, 1e100, 1.0, -1e100])),
        case("a small term first", np.array([1e-20, 1.0, -1.0, 1e-20])),
        case("ten tenths", np.full(10, 0.1)),
        case("no terms", np.zeros(0)),
        random_case(5, 1), random_case(100, 2), hard_case(50, 1e16, 3), hard_case(200, 1e24, 4),
        hard_case(500, 1e32, 5),
        case("ten tenths", np.full(10, 0.1, np.float32)), random_case(300, 6, np.float32),
        hard_case(300, 1e10, 7, np.float32), hard_case(300, 1e14, 8, np.float32),
    ]


def _gives(sum_of):
    """Whether the result is that of another sum."""

    def applies(failure):
        x = failure.case.arguments[0][0]
        return failure.status is Status.INCORRECT and float(failure.actual(0)) == float(sum_of(x))

    return applies


def _named(source):
    """Names of the functions and methods that are called."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in calls}


def _subtracts(source):
    return any(isinstance(node, ast.Sub) for node in ast.walk(ast.parse(source)))


exercise = Exercise(
    title="A sum that keeps its errors",
    function="compensated_sum",
    points=4,
    cases=cases,
    hints=(
        "After new = total + term, how much of the smaller one has arrived in new? Subtract the larger one from new: "
        "that is exact. The rest is what was lost.",
        "If |total| >= |term|, the lost part is (total - new) + term, else (term - new) + total. Add it to errors, and "
        "leave total alone. Only the last line adds the two. x.dtype.type makes numbers of the right type.",
        "total = errors = x.dtype.type(0)\nfor term in x:\n    new = total + term\n    if abs(total) >= abs(term):\n"
        "        errors += (total - new) + term\n    else:\n        ...\n    total = new",
    ),
    slips=(
        Slip(
            "math.fsum rounds once, which is more accurate, but has other bits; and it cannot tell you how it is done "
            "with additions alone. Keep total and errors.",
            lambda f: f.status is Status.INCORRECT and "fsum" in f.source,
        ),
        Slip(
            "float32 terms have been added in float64: tolist(), float() and literals such as 0.0 give Python's "
            "floats. Stay with NumPy's scalars: for term in x, and x.dtype.type(0).",
            lambda f: f.case.arguments[0][0].dtype == np.float32 and _gives(wide)(f),
        ),
        Slip(
            "NumPy's sum keeps no errors. Write the loop, with a variable for what each addition loses.",
            lambda f: f.status is Status.INCORRECT and bool(_named(f.source) & {"sum", "reduce", "cumsum"}),
        ),
        Slip(
            "This is the plain sum: nothing that an addition has lost comes back.",
            lambda f: _gives(plain)(f) and not _subtracts(f.source),
        ),
        Slip("The errors are kept with their sign: add them at the end, do not subtract them.", _gives(minus)),
        Slip(
            "Which of total and term is the larger one decides what is exact, and you have it the wrong way round.",
            lambda f: _gives(lambda x: sum(one_branch(x, lambda a, b: a < b)))(f) and "abs" in _named(f.source),
        ),
        Slip(
            "That is Kahan's sum: it corrects the next term, and loses the correction where the next term is larger "
            "than the total. Keep the errors in a variable of their own to the end.",
            lambda f: _gives(kahan)(f) and "abs" not in _named(f.source),
        ),
        Slip(
            "(total - new) + term is what was lost only if total is the larger one. For a term that is larger it is "
            "(term - new) + total.",
            _gives(lambda x: sum(one_branch(x, lambda a, b: True))),
        ),
        Slip(
            "The error goes back into the total at once, and is rounded away again: total is as close as it gets. Add "
            "the errors up beside it, and add the two at the end.",
            _gives(in_place),
        ),
    ),
)
