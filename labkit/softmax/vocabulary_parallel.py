"""Cross-entropy with the columns spread over ranks: each rank has the logits of some classes.

A language model has a hundred thousand classes, and its last layer is spread over ranks. Instead of gathering the
logits, ranks exchange three numbers a row: the maximum, the sum of exponentials, the logit of the target. Each is an
all-reduce of n float64. The gradient needs nothing more.

References
----------
Shoeybi et al.: Megatron-LM, 2019 (arXiv 1909.08053), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.softmax.arguments import check_rows, check_targets, result_array
from labkit.softmax.cross_entropy import row_scale

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
    """

    losses: np.ndarray
    maxima: np.ndarray
    sums: np.ndarray
    targets: np.ndarray
    first: int


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
    comm, x: np.ndarray, targets, *, num_columns: int, allreduce=None, team=None
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
        Columns that are not those of this rank, or targets out of range. Before anything is sent.

    Notes
    -----
    Three all-reduces of n float64, whatever C is. The logits are read once.

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
    targets = check_targets(targets, len(x), num_columns)
    reduce = allreduce or _own_allreduce
    own_maxima, own_sums = row_states(x, team=team or _one_thread())
    maxima, sums, logits = np.empty_like(own_maxima), np.empty_like(own_sums), np.zeros(len(x))
    reduce(comm, np.ascontiguousarray(own_maxima), maxima, op=MPI.MAX)
    with np.errstate(all="ignore"):
        scaled = np.where(own_maxima == -np.inf, own_sums, own_sums * np.exp(own_maxima - maxima))
        reduce(comm, scaled, sums, op=MPI.SUM)
        here = np.flatnonzero((targets >= mine.start) & (targets < mine.stop))
        own_logits = np.zeros(len(x))
        own_logits[here] = x[here, targets[here] - mine.start].astype(np.float64) - maxima[here]
        reduce(comm, own_logits, logits, op=MPI.SUM)
        losses = np.log(sums) - logits
    return ParallelLoss(losses, maxima, sums, targets, mine.start)


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
    here = np.flatnonzero((loss.targets >= loss.first) & (loss.targets < loss.first + x.shape[1]))
    probabilities(x, loss.maxima, loss.sums, scale, out=result, team=team or _one_thread())
    result[here, loss.targets[here] - loss.first] -= scale[here].astype(x.dtype)
    return result


def _own_allreduce(comm, sendbuf, recvbuf, *, op):
    comm.Allreduce(sendbuf, recvbuf, op)


def _one_thread():
    from labkit.openmp.team import Team

    return Team(1)
