"""All sums and dot products by name.

Sums have the signature ``sum_...(x) -> float``, dot products ``dot_...(x, y) -> float``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.floating_point.summation import bounds, compensated, dot, exact, pairwise, recursive, reproducible, threaded


@dataclass(frozen=True, slots=True)
class Summation:
    """A way to compute a sum or a dot product.

    Attributes
    ----------
    name : str
        As in the registry.
    function : callable
    bound : callable
        Of a :class:`.bounds.Problem`: by how much the result is off at most.
    num_flops : float
        A term, or a pair of a dot product, for terms of similar magnitude.
    is_order_free : bool
        The same bits for any order of the terms.
    is_dot : bool
    """

    name: str
    function: Callable
    bound: Callable[[bounds.Problem], float]
    num_flops: float
    is_order_free: bool = False
    is_dot: bool = False

    @property
    def summary(self) -> str:
        """Its idea in one sentence."""
        return self.function.__doc__.strip().splitlines()[0]


_MEMBERS = (
    Summation("recursive", recursive.sum_recursive, bounds.recursive_bound, 1),
    Summation("pairwise", pairwise.sum_pairwise, bounds.pairwise_bound, 1),
    Summation("reduction", threaded.sum_reduction, bounds.recursive_bound, 1),
    Summation("kahan", compensated.sum_kahan, bounds.kahan_bound, 4),
    Summation("neumaier", compensated.sum_neumaier, bounds.twofold_bound, 4),
    Summation("twofold", compensated.sum_twofold, bounds.twofold_bound, 7),
    Summation("twofold_threaded", threaded.sum_twofold_threaded, bounds.twofold_bound, 7),
    Summation("kfold", compensated.sum_kfold, bounds.kfold_bound, 13),
    Summation("reproducible", reproducible.sum_reproducible, reproducible.reproducible_bound, 13, True),
    Summation("exact", exact.sum_exact, bounds.exact_bound, 10, True),
    Summation("dot_recursive", dot.dot_recursive, bounds.dot_bound, 2, is_dot=True),
    Summation("dot_twofold", dot.dot_twofold, bounds.dot_twofold_bound, 10, is_dot=True),
    Summation("dot_twofold_threaded", threaded.dot_twofold_threaded, bounds.dot_twofold_bound, 10, is_dot=True),
    Summation("dot_exact", dot.dot_exact, bounds.exact_bound, 25, True, is_dot=True),
)
ALGORITHMS: dict[str, Summation] = {member.name: member for member in _MEMBERS}
SUMS: dict[str, Summation] = {name: member for name, member in ALGORITHMS.items() if not member.is_dot}
DOTS: dict[str, Summation] = {name: member for name, member in ALGORITHMS.items() if member.is_dot}


def find_sum(name: str) -> Summation:
    """The algorithm of this name.

    Raises
    ------
    UsageError
        There is none.

    Examples
    --------
    >>> find_sum("kahan").function([0.1] * 10), find_sum("exact").is_order_free
    (1.0, True)
    """
    if name not in ALGORITHMS:
        raise UsageError(f"there is no sum {name!r}; the sums are {', '.join(ALGORITHMS)}: pass one of these names.")
    return ALGORITHMS[name]
