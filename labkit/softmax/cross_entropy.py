"""The loss of classification: minus the logarithm of the probability of the right class, and its gradient.

``loss = log(sum(exp(x))) - x[target]``: of the probabilities only the sum is needed, so nothing of size (n, C) is
stored but the gradient, if it is asked for. With label smoothing s the target is ``1 - s`` on the right class and
``s / C`` on every class.
"""

from __future__ import annotations

import numpy as np

from labkit.softmax.arguments import check_rows, check_targets, result_array, share


def cross_entropy(x: np.ndarray, targets, *, label_smoothing: float = 0.0, team=None) -> np.ndarray:
    """The loss of each row.

    Parameters
    ----------
    x : array (n, C), contiguous, of float16, float32 or float64
        Logits.
    targets : array (n,) of whole numbers
        The right class of each row.
    label_smoothing : float
        0 to 1: the share of the target that is spread over all classes.
    team : labkit.openmp.team.Team, optional

    Returns
    -------
    array (n,) of float64
        NaN for rows with NaN, +inf, or nothing but -inf; inf where the logit of the target is -inf.

    Raises
    ------
    UsageError
        Arrays or targets that do not fit, no columns, or a smoothing out of range.

    Examples
    --------
    >>> cross_entropy(np.log([[0.25, 0.75], [0.5, 0.5]]), [1, 0]).round(6).tolist()
    [0.287682, 0.693147]
    """
    targets, smoothing = _checked(x, targets, label_smoothing)
    maxima, sums = _states(x, team)
    rows = np.arange(len(x))
    with np.errstate(all="ignore"):
        log_sums = np.log(sums)
        losses = log_sums - (x[rows, targets].astype(np.float64) - maxima)
        if smoothing:
            # sum(x) - C m, not the mean minus m: -inf stays, and large logits do not cancel after rounding
            means = np.array([np.mean(row.astype(np.float64) - m) for row, m in zip(x, maxima, strict=True)])
            losses = smoothed(losses, log_sums - means, smoothing)
    return losses


def smoothed(losses: np.ndarray, mean_losses: np.ndarray, smoothing: float) -> np.ndarray:
    """The losses of the right classes and the means of those of all classes, with their shares.

    A share of 1 leaves nothing of the first, be they infinite.
    """
    return mean_losses if smoothing == 1 else (1 - smoothing) * losses + smoothing * mean_losses


def cross_entropy_backward(
    x: np.ndarray, targets, *, gradient=None, label_smoothing: float = 0.0, out: np.ndarray | None = None, team=None
) -> np.ndarray:
    """The gradient by the logits: ``(probabilities - targets) * gradient`` of the row.

    Parameters
    ----------
    x, targets, label_smoothing, team
        As in :func:`cross_entropy`.
    gradient : array (n,), optional
        Of the final loss by those of the rows: by default 1 / n, for their mean.
    out : array (n, C), optional
        It may be ``x``.

    Returns
    -------
    array (n, C) of the type of x

    Examples
    --------
    >>> cross_entropy_backward(np.log([[0.25, 0.75]]), [1]).round(6).tolist()
    [[0.25, -0.25]]
    """
    from labkit.softmax.threaded import softmax_threaded

    targets, smoothing = _checked(x, targets, label_smoothing)
    scale = row_scale(gradient, len(x))
    result = result_array(out, x)
    if x.dtype == np.float16:
        result[...] = cross_entropy_backward(
            x.astype(np.float32), targets, gradient=scale, label_smoothing=smoothing, team=team
        )
        return result
    softmax_threaded(x, out=result, team=team)
    result[np.arange(len(x)), targets] -= 1 - smoothing
    if smoothing:
        result -= smoothing / x.shape[1]
    result *= scale[:, None].astype(x.dtype)
    return result


def row_scale(gradient, num_rows: int) -> np.ndarray:
    """The gradients by the losses of rows as float64; by default those of a mean."""
    from labkit.errors import UsageError

    if gradient is None:
        return np.full(num_rows, 1 / max(num_rows, 1))
    scale = np.asarray(gradient)
    if scale.dtype.kind not in "fiu" or scale.shape not in ((), (num_rows,)):
        raise UsageError(
            f"gradient is a number, or one for each of the {num_rows} rows, not {scale.dtype} of the shape "
            f"{scale.shape}: pass such an array."
        )
    return np.broadcast_to(scale.astype(np.float64), (num_rows,))


def _checked(x, targets, label_smoothing):
    from labkit.errors import UsageError

    check_rows("x", x)
    if len(x) and not x.shape[1]:
        raise UsageError(f"a loss needs at least one class, but x has the shape {x.shape}: pass logits with columns.")
    return check_targets(targets, *x.shape), share("label_smoothing", label_smoothing)


def _states(x, team):
    from labkit.softmax.threaded import row_states

    return row_states(x, team=team)
