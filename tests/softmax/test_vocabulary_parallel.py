"""Cross-entropy over ranks: equal to the serial one, and exactly three small all-reduces."""

import numpy as np
import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import LabkitError, UsageError
from labkit.mpi.collectives.allreduce import allreduce_recursive_doubling
from labkit.softmax.cross_entropy import cross_entropy, cross_entropy_backward
from labkit.softmax.vocabulary_parallel import (
    NUM_ALLREDUCES,
    columns_of,
    parallel_cross_entropy,
    parallel_cross_entropy_backward,
)


def run(p, x, targets, *, allreduce=None, gradient=None):
    def program(comm):
        mine = np.ascontiguousarray(x[:, columns_of(x.shape[1], comm.size, comm.rank)])
        loss = parallel_cross_entropy(comm, mine, targets, num_columns=x.shape[1], allreduce=allreduce)
        return loss.losses, parallel_cross_entropy_backward(mine, loss, gradient=gradient)

    return simulate(p, program)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("p", range(1, 9))
def test_equal_to_serial(p, dtype):
    rng = np.random.default_rng(p)
    x = (rng.normal(size=(6, 23)) * 9).astype(dtype)
    x[0, :15] = -np.inf  # whole ranks have nothing
    x[5] += 500
    targets = rng.integers(15, 23, 6)
    g = rng.normal(size=6)
    found = run(p, x, targets, gradient=g)
    rtol, atol = {np.float16: (1e-3, 1e-3), np.float32: (1e-6, 1e-6), np.float64: (1e-13, 1e-14)}[dtype]
    for losses, _ in found.results:
        assert np.allclose(losses, cross_entropy(x, targets), rtol=rtol, atol=atol)
        assert losses.tobytes() == found.results[0][0].tobytes()
    gradients = np.hstack([part for _, part in found.results])
    assert gradients.dtype == dtype
    assert np.allclose(gradients, cross_entropy_backward(x, targets, gradient=g), rtol=10 * rtol, atol=atol)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_gradients_of_float16_are_rounded_once(p):
    x = np.array([[9, 0, 0, 0], [5, 0, 0, 0]], np.float16)
    exact = np.exp(x.astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    exact[:, 0] -= 1
    gradients = np.hstack([part for _, part in run(p, x, [0, 0], gradient=1.0).results])
    assert gradients.dtype == np.float16 and np.array_equal(gradients, exact.astype(np.float16))


@pytest.mark.parametrize("p", range(1, 9))
@pytest.mark.parametrize("num_columns", [8, 64])
def test_traffic_exactly(p, num_columns):
    """Recursive doubling sends m lg m + 2 (p - m) vectors, m the largest power of two up to p; nothing else is sent."""
    n = 5
    counts = run(p, np.zeros((n, num_columns)), np.arange(n), allreduce=allreduce_recursive_doubling).counts
    m = 1 << (p.bit_length() - 1)
    num_messages = 3 * (m * (m.bit_length() - 1) + 2 * (p - m))
    assert NUM_ALLREDUCES == 3 and counts.num_messages == num_messages
    assert counts.num_bytes == num_messages * n * 8


def test_rows_without_softmax():
    x = np.array([[np.nan, 1, 2, 3], [-np.inf] * 4, [0, 1, 2, np.inf], [1, 2, 3, 4]])
    for p in (1, 2, 3, 4):
        results = run(p, x, [0, 1, 2, 3]).results
        for losses, gradients in results:
            assert np.isnan(losses[:3]).all() and np.isfinite(losses[3])
            assert np.isnan(gradients[:3]).all() and np.isfinite(gradients[3]).all()


def test_more_ranks_than_columns():
    x = np.array([[1.0, 2.0, 4.0]])
    for losses, _ in run(5, x, [1]).results:
        assert np.allclose(losses, cross_entropy(x, [1]), rtol=1e-13)


def test_errors_come_before_messages():
    def wrong_columns(comm):
        parallel_cross_entropy(comm, np.zeros((1, 3)), [0], num_columns=8)

    def wrong_target(comm):
        parallel_cross_entropy(comm, np.zeros((1, 4)), [8], num_columns=8)

    for program, words in ((wrong_columns, "columns 0 to 3 of 8"), (wrong_target, "from 0 to 7")):
        with pytest.raises((UsageError, LabkitError), match=words):
            simulate(2, program)
