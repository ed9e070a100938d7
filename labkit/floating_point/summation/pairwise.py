"""Halves of halves: the error grows with the height of the tree, not with the number of terms."""

from __future__ import annotations

import numpy as np

from labkit.floating_point.summation.arguments import as_result, check_count, check_terms

MOST_LEVELS = 64


def sum_pairwise(x, *, block_size: int = 128) -> float:
    """The sum by neighbours: of blocks, pairs of blocks, pairs of pairs.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
    block_size : int
        Terms that are added one after the other, 1 to 2**20: 1 is the pure form, 128 is as fast as a plain loop.

    Returns
    -------
    float or numpy.float32
        In the format of the terms, as are all partial sums. 0.0 for n = 0.

    Raises
    ------
    UsageError
        More than one dimension, another type, or another block size.

    Notes
    -----
    1 flop a term. Error at most (b - 1 + ceil(lg(n / b))) u sum|x| to first order, b being the block size. NumPy's sum
    is pairwise, too, with eight accumulators in each block, so its bits differ.

    References
    ----------
    N. J. Higham, The accuracy of floating point summation, SIAM Journal on Scientific Computing 14, 1993.

    Examples
    --------
    >>> sum_pairwise([0.1] * 10, block_size=1), sum_pairwise([1.0, 1e100, 1.0, -1e100])
    (1.0, 0.0)
    """
    from labkit.floating_point.summation.kernels import pairwise

    x = check_terms(x, "sum_pairwise")
    block_size = check_count("sum_pairwise", "block_size", block_size, 1, 2**20)
    return as_result(pairwise(x, np.zeros(MOST_LEVELS, x.dtype), block_size, False)[0], x.dtype)
