"""Choosing an all-reduce: the exact costs of labkit's algorithms, at sizes on both sides of the crossovers."""

import ast
import functools
import math

from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status
from labkit.mpi.collectives.registry import find

NAMES = ("recursive_doubling", "rabenseifner", "ring")
FAST_NETWORK = (1e-6, 1e-9, 1e-10)
SLOW_LATENCY = (5e-5, 1e-9, 0.0)
SLOW_ADDITION = (1e-6, 1e-10, 2e-9)
LEAD = 1.005  # at a point that is asked for, the best is better than the second by half a percent at least


def times_s(num_ranks, num_bytes, machine):
    """The time of every algorithm in s; exact where ``num_bytes`` divides into blocks."""
    return {name: find(f"allreduce_{name}").cost(num_ranks, num_bytes, 1).time_s(*machine) for name in NAMES}


def case(num_ranks, num_bytes, machine):
    """One point; whatever takes the least time is right."""
    times = times_s(num_ranks, num_bytes, machine)
    best = min(times, key=times.get)

    def judge(results):
        chosen = results[0]["return"]
        if not isinstance(chosen, str) or chosen not in times:
            return f"{chosen!r} is returned, which is none of {', '.join(map(repr, NAMES))}"
        if times[chosen] <= times[best] * (1 + 1e-9):
            return ""
        return (
            f"{chosen!r} is returned: it takes {times[chosen] * 1e6:.4g} us, "
            f"but {best!r} takes {times[best] * 1e6:.4g} us"
        )

    alpha, beta, gamma = machine
    return Case(
        f"{num_ranks} rank{'s' * (num_ranks > 1)}, {num_bytes} bytes, alpha {alpha * 1e6:g} us, "
        f"beta {beta * 1e9:g} ns, gamma {gamma * 1e9:g} ns",
        ((num_ranks, num_bytes, *machine),), judge=judge,
    )


def crossovers(num_ranks, machine):
    """Cases for p ranks: the shortest and the longest vector, and a pair wherever the best one changes."""
    # Whatever is a multiple of it divides into blocks for all ranks, and for the power of two of them that act.
    unit = math.lcm(num_ranks, 1 << (num_ranks.bit_length() - 1))
    sizes = [unit * 2**step for step in range(26 - unit.bit_length())]
    ranked = [sorted((time, name) for name, time in times_s(num_ranks, size, machine).items()) for size in sizes]
    clear = [
        (size, order[0][1]) for size, order in zip(sizes, ranked, strict=True) if order[1][0] >= LEAD * order[0][0]
    ]
    chosen = {clear[0][0], clear[-1][0]}
    for (size, best), (next_size, next_best) in zip(clear[:-1], clear[1:], strict=True):
        if best != next_best:
            chosen |= {size, next_size}
    return [case(num_ranks, size, machine) for size in sorted(chosen)]


def cases():
    return [
        case(1, 1000, FAST_NETWORK),
        case(2, 0, FAST_NETWORK),
        *crossovers(3, FAST_NETWORK),
        *crossovers(4, FAST_NETWORK),
        *crossovers(6, FAST_NETWORK),
        *crossovers(6, SLOW_ADDITION),
        *crossovers(7, SLOW_LATENCY),
        *crossovers(8, SLOW_ADDITION),
        *crossovers(33, FAST_NETWORK),
        *crossovers(100, SLOW_LATENCY),
        *crossovers(1024, FAST_NETWORK),
    ]


def _unused(source):
    """The positions of the arguments that the function never reads."""
    function = next(
        node for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "choose_allreduce"
    )
    names = [argument.arg for argument in function.args.args]
    read = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return {position for position, name in enumerate(names) if name not in read}


def _chooses(costs_of):
    """The choice is the cheapest by other costs: ``costs_of(p, n)`` gives rounds, bytes sent and added by name."""

    def applies(failure):
        num_ranks, num_bytes, *machine = failure.case.arguments[0]
        times = {
            name: sum(number * price for number, price in zip(cost, machine, strict=True))
            for name, cost in costs_of(num_ranks, num_bytes).items()
        }
        return failure.status is Status.INCORRECT and failure.actual(0) == min(times, key=times.get)

    return applies


def _costs(p, n, *, folds=None, blocks=True):
    """The table of the statement, with another f, or with whole vectors in place of blocks."""
    k = p.bit_length() - 1
    m = 2**k
    f = int(p > m) if folds is None else folds
    part = (lambda ranks: n * (ranks - 1) / ranks) if blocks else (lambda ranks: n * (ranks - 1))
    return {
        "recursive_doubling": (k + 2 * f, (k + 2 * f) * n, (k + f) * n),
        "rabenseifner": (2 * k + 2 * f, 2 * part(m) + 2 * f * n, part(m) + f * n),
        "ring": (2 * (p - 1), 2 * part(p), part(p)),
    }


def _is_no_power_of_two(failure):
    num_ranks = failure.case.arguments[0][0]
    return num_ranks & (num_ranks - 1) != 0


def _takes_the_most(failure):
    num_ranks, num_bytes, *machine = failure.case.arguments[0]
    times = times_s(num_ranks, num_bytes, machine)
    is_most = failure.actual(0) == max(times, key=times.get)
    return failure.status is Status.INCORRECT and is_most and "max(" in failure.source


exercise = Exercise(
    title="Choosing an algorithm",
    function="choose_allreduce",
    points=6,
    cases=cases,
    hints=(
        "Calculate the time of each algorithm from the table, and return the name of the smallest. Begin with powers "
        "of two, where f = 0.",
        "k = p.bit_length() - 1, m = 2**k, f = 1 if p > m else 0. Keep rounds, bytes sent and bytes added of each "
        "algorithm in a dictionary by name; the time is their sum, times alpha, beta and gamma.",
        "costs = {'recursive_doubling': (k + 2 * f, (k + 2 * f) * n, (k + f) * n), 'rabenseifner': ..., 'ring': ...}\n"
        "times = {}\n"
        "for name, (rounds, sent, added) in costs.items():\n"
        "    times[name] = alpha_s * rounds + beta_s_per_byte * sent + gamma_s_per_byte * added\n"
        "return min(times, key=times.get)",
    ),
    slips=(
        Slip(
            "Return the name of the algorithm, one of the three of the statement, spelled as there.",
            lambda f: f.status is Status.INCORRECT and f.actual(0) not in NAMES,
        ),
        Slip(
            "A size alone does not decide: you do not look at alpha and beta, so the crossover stays where it is on "
            "every machine. Calculate the times.",
            lambda f: f.status is Status.INCORRECT and {2, 3} <= _unused(f.source),
        ),
        Slip(
            "You do not use alpha: without the latency, many rounds cost nothing. Add alpha times the rounds.",
            lambda f: f.status is Status.INCORRECT and 2 in _unused(f.source),
        ),
        Slip(
            "You do not use gamma: recursive doubling adds whole vectors in every round, the others only blocks. Add "
            "gamma times the bytes added.",
            lambda f: f.status is Status.INCORRECT and 4 in _unused(f.source),
        ),
        Slip(
            "You return the algorithm that takes the most time. Take the smallest.",
            _takes_the_most,
        ),
        Slip(
            "You leave out f: when p is no power of two, recursive doubling and Rabenseifner need two rounds more, "
            "and send whole vectors in them.",
            lambda f: _is_no_power_of_two(f) and _chooses(functools.partial(_costs, folds=0))(f),
        ),
        Slip(
            "Your rings and halvings send whole vectors: a block has n / p bytes, so that all rounds together send "
            "2 n (p - 1) / p bytes.",
            _chooses(functools.partial(_costs, blocks=False)),
        ),
    ),
)
