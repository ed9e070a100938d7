"""What can be said about the error of a sum: before it is computed, and while it is.

An *a-priori* bound needs the number of terms and sum|x|. A *running* bound is computed along with the sum: every
addition errs by at most u times its result, so u times the sum of the magnitudes of all partial sums bounds the error,
and knows how large these really were.

References
----------
N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, sections 3.3, 4.2, 4.3.
T. Ogita, S. M. Rump, S. Oishi, Accurate sum and dot product, SIAM Journal on Scientific Computing 26, 2005,
propositions 4.5, 4.10, 5.5, corollary 4.7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.summation.arguments import check_count, check_terms, unit_roundoff
from labkit.floating_point.summation.exact import sum_exact
from labkit.floating_point.summation.pairwise import MOST_LEVELS

RUNNING = ("recursive", "pairwise", "neumaier", "twofold")
_SLACK = 1 + 2.0**-40  # for the roundings of a bound's own few operations


def gamma(k: int, u: float) -> float:
    """Higham's constant: k roundings one after the other magnify by at most ``1 + k u / (1 - k u)``.

    Examples
    --------
    >>> gamma(0, 2.0**-53), gamma(1, 0.25), gamma(4, 0.25)
    (0.0, 0.3333333333333333, inf)
    """
    return k * u / (1 - k * u) if k * u < 1 else math.inf


@dataclass(frozen=True, slots=True)
class Problem:
    """What a-priori bounds depend on: n, u, sum|x| and |sum x| (of the products, for dot products)."""

    num_terms: int
    u: float
    magnitude: float
    size: float


def recursive_bound(p: Problem) -> float:
    """``gamma(n - 1) sum|x|``; Higham (4.4)."""
    return gamma(max(p.num_terms - 1, 0), p.u) * p.magnitude


def pairwise_bound(p: Problem, block_size: int = 128) -> float:
    """``gamma(b - 1 + ceil(lg(number of blocks))) sum|x|``; Higham (4.6)."""
    num_blocks = -(-p.num_terms // block_size)
    depth = min(max(p.num_terms - 1, 0), block_size - 1)
    # What is left over at the right end of the tree is added from the right, so it is no deeper than the rest.
    return gamma(depth + max(num_blocks - 1, 0).bit_length(), p.u) * p.magnitude


def kahan_bound(p: Problem) -> float:
    """``(2 u + 8 n u^2) sum|x|``; Higham (4.8), with 8 for the constant that he leaves open."""
    return (2 * p.u + 8 * p.num_terms * p.u**2) * p.magnitude


def twofold_bound(p: Problem) -> float:
    """``u|s| + gamma(n - 1)^2 sum|x|``; Ogita, Rump and Oishi, proposition 4.5."""
    return p.u * p.size + gamma(max(p.num_terms - 1, 0), p.u) ** 2 * p.magnitude


def kfold_bound(p: Problem, num_folds: int = 3) -> float:
    """``(u + 3 gamma(n - 1)^2)|s| + gamma(2 n - 2)^K sum|x|``; Ogita, Rump and Oishi, proposition 4.10."""
    k = max(p.num_terms - 1, 0)
    return (p.u + 3 * gamma(k, p.u) ** 2) * p.size + gamma(2 * k, p.u) ** num_folds * p.magnitude


def exact_bound(p: Problem) -> float:
    """``u|s|``: one rounding."""
    return p.u * p.size


def dot_bound(p: Problem) -> float:
    """``gamma(n) sum|x y|``; Higham (3.5)."""
    return gamma(p.num_terms, p.u) * p.magnitude


def dot_twofold_bound(p: Problem) -> float:
    """``u|s| + gamma(n)^2 sum|x y|``; Ogita, Rump and Oishi, proposition 5.5."""
    return p.u * p.size + gamma(p.num_terms, p.u) ** 2 * p.magnitude


def problem_of(x, y=None) -> Problem:
    """What a-priori bounds depend on, of terms, or of the products of two vectors."""
    from labkit.floating_point.summation.arguments import check_pair
    from labkit.floating_point.summation.dot import dot_exact

    if y is None:
        x = check_terms(x, "a_priori_bound")
        wide = x.astype(np.float64)
        magnitude, size = sum_exact(np.abs(wide)), abs(sum_exact(wide))
    else:
        x, y = check_pair(x, y, "a_priori_bound")
        a, b = x.astype(np.float64), y.astype(np.float64)
        magnitude, size = dot_exact(np.abs(a), np.abs(b)), abs(dot_exact(a, b))
    return Problem(x.size, unit_roundoff(x.dtype), magnitude * _SLACK, size * _SLACK)


def a_priori_bound(name: str, x, y=None) -> float:
    """By how much a sum or dot product may be off, from n, u and sum|x| alone.

    Parameters
    ----------
    name : str
        Of the registry, for example ``"kahan"`` or ``"dot_twofold"``.
    x, y : array_like, shape (n,)
        y for dot products.

    Returns
    -------
    float
        Valid as long as nothing overflows, and no product underflows. Infinite where n u is 1 or more.

    Raises
    ------
    UsageError
        No such algorithm, or terms that are none.

    Examples
    --------
    >>> x = [0.1] * 1000
    >>> f"{a_priori_bound('recursive', x):.2g} {a_priori_bound('pairwise', x):.2g} {a_priori_bound('kahan', x):.2g}"
    '1.1e-11 1.4e-12 2.2e-14'
    """
    from labkit.floating_point.summation.registry import find_sum

    algorithm = find_sum(name)
    if (y is not None) != algorithm.is_dot:
        raise UsageError(
            f"a_priori_bound: {name} takes {'two vectors' if algorithm.is_dot else 'one array of terms'}: pass "
            f"{'x and y' if algorithm.is_dot else 'x alone'}."
        )
    return algorithm.bound(problem_of(x, y))


@dataclass(frozen=True, slots=True)
class BoundedSum:
    """A computed sum, and by how much it is off at most."""

    value: float
    bound: float


def sum_with_running_bound(name: str, x, *, block_size: int = 128) -> BoundedSum:
    """A sum, and a bound of its error that was computed along with it.

    Parameters
    ----------
    name : str
        ``recursive``, ``pairwise``, ``neumaier`` or ``twofold`` (the last two give the same).
    x : array_like, shape (n,), float64 or float32
    block_size : int
        Of the pairwise sum.

    Returns
    -------
    BoundedSum
        ``value`` has the bits of the function of that name. ``bound`` is infinite or NaN where something overflowed.

    Raises
    ------
    UsageError
        Another algorithm, or terms that are none.

    Notes
    -----
    One flop more a term, and a comparison. Recursive and pairwise: u times the sum of the magnitudes of all partial
    sums. Twofold: u|s| + gamma(n) times the sum of the magnitudes of the rounding errors, which are known there.

    Examples
    --------
    >>> result = sum_with_running_bound("recursive", [0.1] * 10)
    >>> result.value, f"{result.bound:.2g}", f"{a_priori_bound('recursive', [0.1] * 10):.2g}"
    (0.9999999999999999, '6e-16', '1e-15')
    """
    from labkit.floating_point.summation import kernels

    if name not in RUNNING:
        raise UsageError(
            f"sum_with_running_bound: one of {', '.join(RUNNING)}, not {name!r}: pass one of them, or ask "
            "a_priori_bound."
        )
    x = check_terms(x, f"sum_with_running_bound({name!r})")
    u = unit_roundoff(x.dtype)
    # the sum of magnitudes is itself a plain sum in float64
    slack = _SLACK * (1 + 2 * gamma(x.size, unit_roundoff(np.float64)))
    if name == "recursive":
        total, running = kernels.recursive_running(x)
        return BoundedSum(float(total), u * running * slack)
    if name == "pairwise":
        block_size = check_count("sum_with_running_bound", "block_size", block_size, 1, 2**20)
        total, running = kernels.pairwise(x, np.zeros(MOST_LEVELS, x.dtype), block_size, True)
        return BoundedSum(float(total), u * running * slack)
    total, errors, magnitudes = kernels.twofold(x)
    value = float(x.dtype.type(total + errors))  # Python's floats come from the kernel, also of float32
    return BoundedSum(value, (u * abs(value) + gamma(x.size, u) * magnitudes) * slack)
