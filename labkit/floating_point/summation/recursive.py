"""The loop everybody writes."""

from __future__ import annotations

from labkit.floating_point.summation.arguments import as_result, check_terms


def sum_recursive(x) -> float:
    """The sum in the order of the array, rounded after every addition.

    Parameters
    ----------
    x : array_like, shape (n,), float64 or float32
        An array that is not contiguous is copied.

    Returns
    -------
    float or numpy.float32
        In the format of the terms, as is the accumulator. 0.0 for n = 0.

    Raises
    ------
    UsageError
        More than one dimension, or another type.

    Notes
    -----
    1 flop a term. Error at most (n - 1) u sum|x| to first order, u the unit roundoff; for terms of random signs about
    sqrt(n) u. Infinity and NaN go their way as in any addition, and partial sums may overflow where the sum does not.

    References
    ----------
    N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM 2002, section 4.2.

    Examples
    --------
    >>> sum_recursive([0.1] * 10), sum_recursive([1.0, 1e100, 1.0, -1e100])
    (0.9999999999999999, 0.0)
    """
    from labkit.floating_point.summation.kernels import recursive

    x = check_terms(x, "sum_recursive")
    return as_result(recursive(x), x.dtype)
