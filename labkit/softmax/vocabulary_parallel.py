"""Cross-entropy with the columns spread over ranks: each rank has the logits of some classes.

A language model has a hundred thousand classes, and its last layer is spread over ranks. Instead of gathering the
logits, ranks exchange three numbers a row: the maximum, the sum of exponentials, the logit of the target. Each is an
all-reduce of n float64. The gradient needs nothing more. Label smoothing needs the sum of a row's logits too, which
travels with the target's: the third all-reduce has 2n numbers then.

References
----------
Shoeybi et al.: Megatron-LM, 2019 (arXiv 1909.08053), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.softmax.arguments import check_rows, check_targets, result_array, share, wide
from labkit.softmax.cross_entropy import row_scale, smoothed

NUM_ALLREDUCES = 3


@dataclass(frozen=True, slots=True)
class ParallelLoss:
    """The losses of rows, and what the gradient needs.

    Attributes
    ----------
    losses : array (n,) of float64
        The same on all ranks.
    maxima, sums : arrays (n,) of float64
        Of the whole rows: the states of online softmax.
    targets : array (n,) of int64
    first : int
        The class of this rank's first column.
    num_columns : int
        Of all ranks together.
    label_smoothing : float
    """

    losses: np.ndarray
    maxima: np.ndarray
    sums: np.ndarray
    targets: np.ndarray
    first: int
    num_columns: int
    label_smoothing: float = 0.0


def columns_of(num_columns: int, size: int, rank: int) -> slice:
    """The columns of a rank: consecutive, the first ranks have one more if need be.

    Examples
    --------
    >>> [columns_of(7, 3, rank) for rank in range(3)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    quotient, rest = divmod(num_columns, size)
    start = rank * quotient + min(rank, rest)
    return slice(start, start + quotient + (rank < rest))


def parallel_cross_entropy(
    comm, x: np.ndarray, targets, *, num_columns: int, label_smoothing: float = 0.0, allreduce=None, team=None
) -> ParallelLoss:
    """The loss of each row, of logits whose columns are spread over ranks. All ranks call it.

    Parameters
    ----------
    comm : communicator
    x : array (n, C of this rank), contiguous, of float16, float32 or float64
        The columns :func:`columns_of` gives this rank.
    targets : array (n,) of whole numbers, the same on all ranks
        The right class of each row, counted over all ranks.
    num_columns : int
        C of all ranks together.
    label_smoothing : float, the same on all ranks
        0 to 1: the share of the target that is spread over all classes.
    allreduce : function, optional
        ``allreduce(comm, sendbuf, recvbuf, op=op)``, for example one of :mod:`labkit.mpi.collectives.allreduce`; by
        default the communicator's own.
    team : labkit.openmp.team.Team, optional
        Threads of this rank; by default one.

    Returns
    -------
    ParallelLoss

    Raises
    ------
    UsageError
        Columns that are not those of this rank, targets or a smoothing out of range. Before anything is sent.

    Notes
    -----
    Three all-reduces of n float64 (with label smoothing the third of 2n), whatever C is. The logits are read once,
    with label smoothing twice.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> x = np.log([[0.25, 0.5, 0.25]])
    >>> def program(comm):
    ...     mine = np.ascontiguousarray(x[:, columns_of(3, comm.size, comm.rank)])
    ...     return parallel_cross_entropy(comm, mine, [1], num_columns=3).losses.round(6).tolist()
    >>> simulate(2, program).results
    [[0.693147], [0.693147]]
    """
    from labkit.softmax.threaded import row_states

    mine = columns_of(num_columns, comm.size, comm.rank)
    check_rows("x", x)
    if x.shape[1] != mine.stop - mine.start:
        raise UsageError(
            f"rank {comm.rank} of {comm.size} has the columns {mine.start} to {mine.stop - 1} of {num_columns}, but x "
            f"has {x.shape[1]} columns: pass x[:, columns_of({num_columns}, comm.size, comm.rank)], made contiguous."
        )
    targets, smoothing = check_targets(targets, len(x), num_columns), share("label_smoothing", label_smoothing)
    reduce = allreduce or _own_allreduce
    own_maxima, own_sums = row_states(x, team=team or _one_thread())
    maxima, sums = np.empty_like(own_maxima), np.empty_like(own_sums)
    reduce(comm, np.ascontiguousarray(own_maxima), maxima, op=MPI.MAX)
    with np.errstate(all="ignore"):
        scaled = np.where(own_maxima == -np.inf, own_sums, own_sums * np.exp(own_maxima - maxima))
        reduce(comm, scaled, sums, op=MPI.SUM)
        here = np.flatnonzero((targets >= mine.start) & (targets < mine.stop))
        own_logits = np.zeros((2 if smoothing else 1, len(x)))
        own_logits[0, here] = x[here, targets[here] - mine.start].astype(np.float64) - maxima[here]
        if smoothing:
            # The maximum is subtracted before the sum: large logits would cancel after rounding.
            own_logits[1] = [np.sum(row.astype(np.float64) - m) for row, m in zip(x, maxima, strict=True)]
        logits = np.empty_like(own_logits)
        reduce(comm, own_logits.reshape(-1), logits.reshape(-1), op=MPI.SUM)
        log_sums = np.log(sums)
        losses = log_sums - logits[0]
        if smoothing:
            losses = smoothed(losses, log_sums - logits[1] / num_columns, smoothing)
    return ParallelLoss(losses, maxima, sums, targets, mine.start, num_columns, smoothing)


def parallel_cross_entropy_backward(
    x: np.ndarray, loss: ParallelLoss, *, gradient=None, out: np.ndarray | None = None, team=None
) -> np.ndarray:
    """The gradient by the logits of this rank's columns. Nothing is sent.

    Parameters
    ----------
    x : array
        As in :func:`parallel_cross_entropy`.
    loss : ParallelLoss
        What it has returned on this rank.
    gradient : number or array (n,), optional
        Of the final loss by those of the rows: by default 1 / n, for their mean.
    out : array like x, optional
        It may be ``x``.

    Returns
    -------
    array like x
    """
    from labkit.softmax.threaded import probabilities

    scale = row_scale(gradient, len(x))
    result = result_array(out, check_rows("x", x))
    if x.dtype == np.float16:  # rounded once, at the end
        result[...] = parallel_cross_entropy_backward(wide(x), loss, gradient=scale, team=team)
        return result
    here = np.flatnonzero((loss.targets >= loss.first) & (loss.targets < loss.first + x.shape[1]))
    probabilities(x, loss.maxima, loss.sums, scale, out=result, team=team or _one_thread())
    result[here, loss.targets[here] - loss.first] -= ((1 - loss.label_smoothing) * scale[here]).astype(x.dtype)
    if loss.label_smoothing:
        result -= (loss.label_smoothing / loss.num_columns * scale)[:, None].astype(x.dtype)
    return result


def _own_allreduce(comm, sendbuf, recvbuf, *, op):
    comm.Allreduce(sendbuf, recvbuf, op)


def _one_thread():
    from labkit.openmp.team import Team

    return Team(1)
