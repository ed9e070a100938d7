"""One array, many orders: what ranks, threads and the tree of a reduction make of the same sum.

The trees of :mod:`.summation.trees` are evaluated here in plain Python, drawn in :mod:`labkit.views.reduce_trees`, and
run as messages on simulated ranks; the bits agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.summation.accumulator import UNIT_EXPONENT, whole_number_of
from labkit.floating_point.summation.arguments import as_result, check_count, check_terms
from labkit.floating_point.summation.errors import error_ulp
from labkit.floating_point.summation.exact import exact_accumulator
from labkit.floating_point.summation.registry import SUMS, find_sum
from labkit.floating_point.summation.trees import COLLECTIVES, TREES, evaluate_tree, reduce_tree

MOST_ORDERS = 100_000


def parts_of(x: np.ndarray, num_ranks: int) -> list[np.ndarray]:
    """Consecutive terms by rank, as evenly as possible, the first ranks with one more."""
    return np.array_split(x, num_ranks)


def sum_over_ranks(x, num_ranks: int, *, tree: str = "binomial", local: str = "recursive") -> float:
    """The sum as p ranks compute it: each its own terms, then the partial sums by a tree. No rank is run.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
    num_ranks : int
        1 to 4096.
    tree : str
        See :func:`reduce_tree`.
    local : str
        How a rank sums its own terms: a name of the registry of sums.

    Returns
    -------
    float or numpy.float32

    Raises
    ------
    UsageError
        No such tree or sum, terms that are none, or numbers out of range.

    Examples
    --------
    >>> x = [1.0, 1e100, 1.0, -1e100]
    >>> [sum_over_ranks(x, 4, tree=tree) for tree in ("flat", "binomial", "rabenseifner")]
    [0.0, 0.0, 2.0]
    """
    x = check_terms(x, "sum_over_ranks")
    shape = reduce_tree(tree, num_ranks)
    function = _local(local)
    partials = [x.dtype.type(function(part)) for part in parts_of(x, num_ranks)]
    with np.errstate(over="ignore", invalid="ignore"):
        return as_result(evaluate_tree(shape, partials), x.dtype)


def simulate_sum_over_ranks(x, num_ranks: int, *, tree: str = "binomial", local: str = "recursive") -> float:
    """The same with messages: :func:`labkit.comm.simulated.run.simulate` runs the collective of that tree.

    Parameters and errors as :func:`sum_over_ranks`.

    Examples
    --------
    >>> simulate_sum_over_ranks([1.0, 1e100, 1.0, -1e100], 4, tree="rabenseifner")
    2.0
    """
    from labkit.comm.simulated.run import simulate
    from labkit.mpi.collectives.registry import find

    x = check_terms(x, "simulate_sum_over_ranks")
    reduce_tree(tree, num_ranks)
    function, collective = _local(local), find(COLLECTIVES[tree])
    parts = parts_of(x, num_ranks)

    def program(comm):
        total = np.empty(1, x.dtype)
        collective.function(comm, np.array([function(parts[comm.rank])], x.dtype), total)
        return total[0]

    with np.errstate(over="ignore", invalid="ignore"):
        return as_result(simulate(num_ranks, program).results[0], x.dtype)


def _local(name: str) -> Callable:
    if name not in SUMS:
        raise UsageError(f"local: one of {', '.join(SUMS)}, not {name!r}: pass one of them.")
    return find_sum(name).function


@dataclass(frozen=True, slots=True)
class OrderedSum:
    """A sum in one order.

    Attributes
    ----------
    machine : str
        ``ranks`` or ``threads``.
    tree : str
        Of the ranks; ``reduction`` for threads.
    num_parts : int
        Ranks or threads.
    value : float or numpy.float32
    error_ulp : float
        Distance from the exact sum in its units in the last place, with sign.
    """

    machine: str
    tree: str
    num_parts: int
    value: float
    error_ulp: float


def exact_fraction(x) -> Fraction:
    """The exact sum of finite terms as a fraction.

    Raises
    ------
    UsageError
        A term is infinite or NaN.

    Examples
    --------
    >>> exact_fraction([0.5, 0.25])
    Fraction(3, 4)
    """
    total = exact_accumulator(x)
    if total[-3:].any():
        raise UsageError("exact_fraction: all terms are finite, but some are infinite or NaN: leave them out.")
    return Fraction(whole_number_of(total)) * Fraction(2) ** UNIT_EXPONENT


def sums_by_order(
    x, *, num_parts: Sequence[int] = (1, 2, 4, 8), trees: Sequence[str] = tuple(TREES), local: str = "recursive",
    simulated: bool = True, threads: bool = True,
) -> list[OrderedSum]:
    """The same array on some numbers of ranks with each tree, and on as many threads.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32, finite
    num_parts : sequence of int
        Ranks, and threads.
    trees : sequence of str
    local : str
        How a rank sums its own terms. Threads do plain reductions, or the same sum with a team if ``local`` is
        ``exact``, ``reproducible`` or ``twofold_threaded``.
    simulated : bool
        Send messages on simulated ranks; False evaluates the trees, which gives the same.
    threads : bool
        Also on threads.

    Raises
    ------
    UsageError
        As :func:`sum_over_ranks`, or a term is infinite or NaN.

    Examples
    --------
    >>> x = np.random.default_rng(1).standard_normal(10_000)
    >>> rows = sums_by_order(x, num_parts=(1, 8), trees=("flat", "rabenseifner"), threads=False)
    >>> len(rows), len({row.value for row in rows if row.num_parts == 1}), len({row.value for row in rows}) > 1
    (4, 1, True)
    """
    x = check_terms(x, "sums_by_order")
    exact = exact_fraction(x)
    on_ranks = simulate_sum_over_ranks if simulated else sum_over_ranks
    rows = [
        OrderedSum("ranks", tree, p, value := on_ranks(x, p, tree=tree, local=local), error_ulp(value, exact, x.dtype))
        for tree in trees for p in num_parts
    ]
    if threads:
        from labkit.openmp.team import Team

        name = local if local in ("exact", "reproducible", "twofold_threaded") else "reduction"
        for p in num_parts:
            value = find_sum(name).function(x, team=Team(p))
            rows.append(OrderedSum("threads", name, p, value, error_ulp(value, exact, x.dtype)))
    return rows


@dataclass(frozen=True, eq=False)
class Spread:
    """Results over random orders of the same terms.

    Attributes
    ----------
    name : str
    errors_ulp : ndarray of float64, shape (num_orders,)
        Distances from the exact sum in its units in the last place, with sign.
    num_results : int
        How many different results there were.
    """

    name: str
    errors_ulp: np.ndarray
    num_results: int


def spread_over_orders(
    x, names: Sequence[str] = ("recursive", "pairwise", "kahan", "exact"), *, num_orders: int = 200, seed: int = 1
) -> list[Spread]:
    """Sum random permutations of an array.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32, finite
    names : sequence of str
        Sums of the registry, or a tree and a number of ranks such as ``"ring/8"``.
    num_orders : int
        1 to 100,000.
    seed : int
        Of the permutations, which are the same for all names.

    Returns
    -------
    list of Spread

    Raises
    ------
    UsageError
        No such sum or tree, values out of range, or a term is infinite or NaN.

    Examples
    --------
    >>> x = np.random.default_rng(1).standard_normal(1000)
    >>> plain, exact = spread_over_orders(x, ["recursive", "exact"], num_orders=50)
    >>> plain.num_results > 10, exact.num_results, max(abs(exact.errors_ulp)).item() <= 0.5
    (True, 1, True)
    """
    x = check_terms(x, "spread_over_orders")
    num_orders = check_count("spread_over_orders", "num_orders", num_orders, 1, MOST_ORDERS)
    exact = exact_fraction(x)
    functions = [_ordered(name) for name in names]
    results: list[list] = [[] for _ in names]
    rng = np.random.default_rng(seed)
    for _ in range(num_orders):
        shuffled = rng.permutation(x)
        for values, function in zip(results, functions, strict=True):
            values.append(function(shuffled))
    return [
        Spread(name, np.array([error_ulp(value, exact, x.dtype) for value in values]), len(set(values)))
        for name, values in zip(names, results, strict=True)
    ]


def _ordered(name: str) -> Callable:
    tree, slash, number = name.partition("/")
    if not slash:
        return _local(name)
    if tree not in TREES or not number.isdecimal():
        raise UsageError(f"{name!r} is no tree with a number of ranks: pass for example 'ring/8'.")
    reduce_tree(tree, int(number))
    return lambda x: sum_over_ranks(x, int(number), tree=tree)
