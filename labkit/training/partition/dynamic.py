"""Dynamic programming on a chain: the best of all ways to cut n layers into k stages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def best_cuts(
    num_layers: int,
    num_stages: int,
    stage_cost: Callable[[int], np.ndarray],
    second_cost: Callable[[int], np.ndarray] | None = None,
    allowed: Callable[[int, int], np.ndarray] | None = None,
    bound: float = np.inf,
) -> tuple[int, ...] | None:
    """The bounds of the stages whose largest cost is as small as it can be.

    A(k, j), the best for the first j layers in k stages, is the minimum over i of max(A(k - 1, i), cost(i, j)): all
    k at once for each j. Where costs are large already no better stage begins, so only the i with
    cost(i, j) <= ``bound`` are looked at.

    Parameters
    ----------
    num_layers, num_stages : int
        1 <= num_stages <= num_layers.
    stage_cost : callable
        From j to an array (j,) with the costs of the stages of layers i, ..., j - 1.
    second_cost : callable, optional
        As that; among all best ones, the sum of its squares is as small as it can be. By default ``stage_cost``.
    allowed : callable, optional
        From j and the first i that matters to an array of bool (num_stages, j - first): whether stage k may be layers
        i, ..., j - 1.
    bound : float
        The largest cost of any partition that is known to be allowed.

    Returns
    -------
    tuple of int or None
        num_stages + 1 numbers, from 0 to num_layers; None if no partition is allowed.

    Notes
    -----
    At most k n^2 / 2 steps, each of them in an array of k rows.

    Examples
    --------
    >>> sums = np.cumsum([0, 4, 1, 1, 1, 3])
    >>> best_cuts(5, 2, lambda j: sums[j] - sums[:j])
    (0, 2, 5)
    """
    columns = _columns(num_layers, stage_cost, bound)
    costs = _forward(num_layers, num_stages, columns, allowed, np.maximum)[0]
    best = costs[num_stages, num_layers]
    if not np.isfinite(best):
        return None
    second = second_cost or stage_cost
    squares = []
    for j, (first, column) in enumerate(columns, 1):
        fits = column <= best
        start = first + (int(fits.argmax()) if fits.any() else len(column))
        squares.append((start, np.where(fits[start - first :], np.square(second(j)[start:]), np.inf)))
    return _trace_back(*_forward(num_layers, num_stages, squares, allowed, np.add), num_layers)


def _columns(num_layers: int, stage_cost, bound: float):
    """For each j, the first i with cost(i, j) <= bound, and the costs from it on."""
    columns = []
    for j in range(1, num_layers + 1):
        column = stage_cost(j)
        fits = column <= bound
        first = int(fits.argmax()) if fits.any() else j
        columns.append((first, column[first:]))
    return columns


def _forward(num_layers: int, num_stages: int, columns, allowed, join):
    costs = np.full((num_stages + 1, num_layers + 1), np.inf)
    choices = np.zeros((num_stages + 1, num_layers + 1), np.int64)
    costs[0, 0] = 0.0
    rows = np.arange(num_stages)
    for j, (first, column) in enumerate(columns, 1):
        if not len(column):
            continue
        candidates = join(costs[:num_stages, first:j], column)  # (k, i)
        if allowed is not None:
            candidates = np.where(allowed(j, first), candidates, np.inf)
        where = candidates.argmin(1)
        costs[1:, j], choices[1:, j] = candidates[rows, where], where + first
    return costs, choices


def _trace_back(costs: np.ndarray, choices: np.ndarray, num_layers: int) -> tuple[int, ...]:
    bounds = [num_layers]
    for k in range(len(costs) - 1, 0, -1):
        bounds.append(int(choices[k, bounds[-1]]))
    return tuple(reversed(bounds))
