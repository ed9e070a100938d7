"""Cross-entropy with columns spread over real ranks: equal to the definition on the whole matrix, exact traffic."""

import numpy as np
from mpi4py import MPI

from labkit.errors import UsageError
from labkit.mpi.collectives.allreduce import allreduce_recursive_doubling
from labkit.softmax.vocabulary_parallel import columns_of, parallel_cross_entropy, parallel_cross_entropy_backward

TOLERANCE = {np.float16: (1e-3, 1e-3), np.float32: (1e-5, 1e-6), np.float64: (1e-12, 1e-14)}


class Counted:
    """What the function may use of a communicator; every other call is an AttributeError."""

    def __init__(self, comm):
        self.rank, self.size, self._comm, self.calls = comm.rank, comm.size, comm, []

    def Allreduce(self, sendbuf, recvbuf, op):
        self.calls.append((sendbuf.nbytes, recvbuf.nbytes, op))
        self._comm.Allreduce(sendbuf, recvbuf, op)


def logits(n, num_columns, dtype, seed=0):
    """The whole matrix, the same on all ranks: rows with offsets, a peak, -inf that fills whole ranks."""
    rng = np.random.default_rng([n, num_columns, seed])
    x = rng.normal(size=(n, num_columns)) * 4 + rng.choice([-300, 0, 50], (n, 1))
    x[0, rng.integers(num_columns)] += 40
    x[-1, : num_columns // 2] = -np.inf
    targets = rng.integers(0, num_columns, n)
    targets[-1] = num_columns - 1
    return x.astype(dtype), targets


def definition(x, targets, smoothing, gradient):
    """Losses and their gradient in 80 bits."""
    x = x.astype(np.longdouble)
    n, num_columns = x.shape
    m = x.max(axis=1, keepdims=True)
    log_p = x - m - np.log(np.exp(x - m).sum(axis=1, keepdims=True))
    wanted = np.full(x.shape, np.longdouble(smoothing) / num_columns)
    wanted[np.arange(n), targets] += 1 - np.longdouble(smoothing)
    with np.errstate(invalid="ignore"):
        losses = -np.where(wanted == 0, 0, wanted * log_p).sum(axis=1)
    return losses.astype(float), ((np.exp(log_p) - wanted) * np.asarray(gradient)[:, None]).astype(float)


def compare(comm, x, targets, smoothing=0.0, allreduce=None):
    """This rank's losses, and the gradients of all ranks side by side, against the definition."""
    gradient = np.random.default_rng(3).normal(size=len(x))
    own = columns_of(x.shape[1], comm.size, comm.rank)
    mine = np.ascontiguousarray(x[:, own])
    loss = parallel_cross_entropy(
        comm, mine, targets, num_columns=x.shape[1], label_smoothing=smoothing, allreduce=allreduce
    )
    losses, gradients = definition(x, targets, smoothing, gradient)
    rtol, atol = TOLERANCE[x.dtype.type]
    assert np.allclose(loss.losses, losses, rtol=rtol, atol=atol), (loss.losses, losses)
    found = parallel_cross_entropy_backward(mine, loss, gradient=gradient)
    assert found.dtype == x.dtype
    assert np.allclose(found, gradients[:, own], rtol=10 * rtol, atol=atol)
    assert parallel_cross_entropy_backward(mine, loss, gradient=gradient, out=mine) is mine
    assert mine.tobytes() == found.tobytes()
    return loss.losses


def check_equal_to_the_whole(comm):
    """Shards of one size, shards that differ by one column, ranks without columns, rows of several blocks."""
    for num_columns in (1, 2, 3, 5, 12, 13, 1001, 9001):
        for dtype in TOLERANCE:
            x, targets = logits(6, num_columns, dtype)
            losses = compare(comm, x, targets)
            every = comm.allgather(losses.tobytes())
            assert len(set(every)) == 1, "ranks have different losses"


def check_label_smoothing(comm):
    for smoothing in (0.1, 0.5, 1.0):
        for num_columns in (2, 7, 9001):
            x, targets = logits(5, num_columns, np.float64)
            compare(comm, x[:-1], targets[:-1], smoothing)
            infinite = x[-1:]
            mine = np.ascontiguousarray(infinite[:, columns_of(num_columns, comm.size, comm.rank)])
            loss = parallel_cross_entropy(
                comm, mine, targets[-1:], num_columns=num_columns, label_smoothing=smoothing
            )
            assert loss.losses == np.inf  # a class without probability is part of the target


def check_three_small_allreduces_and_nothing_else(comm):
    for n in (1, 5, 300):
        for num_columns in (4, 2000):
            for smoothing, last in ((0.0, 8 * n), (0.1, 16 * n)):
                x, targets = logits(n, num_columns, np.float64)
                mine = np.ascontiguousarray(x[:, columns_of(num_columns, comm.size, comm.rank)])
                counted = Counted(comm)
                loss = parallel_cross_entropy(
                    counted, mine, targets, num_columns=num_columns, label_smoothing=smoothing
                )
                wanted = [(8 * n, 8 * n, MPI.MAX), (8 * n, 8 * n, MPI.SUM), (last, last, MPI.SUM)]
                assert counted.calls == wanted, counted.calls
                parallel_cross_entropy_backward(mine, loss)  # has no communicator at all


def check_an_allreduce_of_ours(comm):
    x, targets = logits(4, 1001, np.float64)
    for smoothing in (0.0, 0.2):
        compare(comm, x[:-1], targets[:-1], smoothing, allreduce=allreduce_recursive_doubling)


def check_broken_rows_are_broken_on_all_ranks(comm):
    x = np.zeros((4, 9))
    x[0, 8], x[1], x[2, 0] = np.nan, -np.inf, np.inf
    mine = np.ascontiguousarray(x[:, columns_of(9, comm.size, comm.rank)])
    loss = parallel_cross_entropy(comm, mine, np.zeros(4, int), num_columns=9)
    assert np.isnan(loss.losses[:3]).all() and np.isclose(loss.losses[3], np.log(9))
    gradients = parallel_cross_entropy_backward(mine, loss)
    assert np.isnan(gradients[:3]).all() and np.isfinite(gradients[3]).all()


def check_mistakes_send_nothing(comm):
    counted = Counted(comm)
    mine = np.zeros((1, columns_of(8, comm.size, comm.rank).stop - columns_of(8, comm.size, comm.rank).start))
    too_many = {"num_columns": 8 + comm.size}
    for options in ({"label_smoothing": 1.5}, {"label_smoothing": True}, {"targets": [8]}, too_many):
        arguments = {"targets": [0], "num_columns": 8} | options
        try:
            parallel_cross_entropy(counted, mine, **arguments)
        except UsageError:
            assert not counted.calls
        else:
            raise AssertionError(f"{options} was accepted")
