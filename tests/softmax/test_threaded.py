"""Softmax on threads: long rows, parts of rows, streaming stores, any number of threads; errors of peaked rows."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.team import Team
from labkit.softmax import compiled, state_kernels, threaded
from labkit.softmax.threaded import probabilities, row_states, softmax_threaded, softmax_threaded_backward
from tests.softmax.rows import BROKEN, broken_row


def exact(x):
    """In 80 bits, which is 11 more than float64 has; by rows."""
    e = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True).astype(np.longdouble))
    return e / e.sum(axis=1, keepdims=True)


def worst_ulp(y, expected):
    unit = np.spacing(expected.astype(y.dtype)).astype(np.longdouble)
    return float(np.where(expected > 1e-30, np.abs(y - expected) / unit, 0).max())


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.0), (np.float64, 3.0)])
def test_errors_of_many_shapes_and_spreads(dtype, limit):
    assert np.finfo(np.longdouble).eps < 1e-18, "this test needs a longdouble of at least 80 bits"
    rng = np.random.default_rng(5)
    for columns in (2, 3, 6, 8, 31, 64, 104, 232, 1000, 4096, 4097, 9001):
        for spread in (0.1, 1, 10, 40):
            for offset in (0, 60, 300, -250):
                x = (rng.normal(size=(max(1, 3000 // columns), columns)) * spread + offset).astype(dtype)
                y = softmax_threaded(x)
                assert worst_ulp(y, exact(x)) <= limit, (columns, spread, offset)
                assert y.max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("columns", [1, 15, 16, 17, 4095, 4096, 4097, 140_001])
def test_streaming_stores_and_threads_change_nothing(dtype, streaming, columns, monkeypatch):
    monkeypatch.setattr(threaded, "STREAM_BYTES", 0 if streaming else 2**60)
    rng = np.random.default_rng(columns)
    x = (rng.normal(size=(2, columns)) * 5).astype(dtype)
    room = np.full(x.size + 40, 7, dtype)
    for first in (0, 1, 5):  # places of all kinds within a cache line
        out = room[first : first + x.size].reshape(x.shape)
        for num_threads in (1, 2, 3):
            out[...] = 9
            softmax_threaded(x, out=out, team=Team(num_threads))
            assert worst_ulp(out, exact(x)) <= 3
            assert (room[first + x.size :] == 7).all() and (room[:first] == 7).all()
            room[first : first + x.size] = 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("in_place", [False, True])
def test_parts_of_rows_with_every_kind_of_part(dtype, in_place):
    """Rows that several threads share: parts of -inf, far parts, NaN in one part."""
    size = 2 * threaded.PART + 777
    rng = np.random.default_rng(2)
    x = rng.normal(size=(7, size)).astype(dtype)
    x[1, : threaded.PART] = -np.inf
    x[2, -5:] = 2000
    x[3, 3] = -3000
    x[4, threaded.PART :] += 150
    expected = exact(x)
    x[5, -1] = np.copysign(dtype(np.nan), dtype(-1))
    x[6] = -np.inf
    team = Team(4)
    assert len(x) < 4 * team.num_threads and size >= 2 * threaded.PART  # so rows are shared
    y = softmax_threaded(x, out=x.copy() if not in_place else x, team=team)
    assert worst_ulp(y[:5], expected[:5]) <= 3
    assert np.isnan(y[5:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_rows_on_shared_rows(name, dtype):
    row = broken_row(name, dtype, 2 * threaded.PART + 1)
    y = softmax_threaded(np.concatenate([row, np.zeros_like(row)]), team=Team(4))
    assert np.isnan(y[0]).all() and np.allclose(y[1], 1 / row.size, rtol=1e-5)


def test_short_rows_do_not_depend_on_threads():
    x = np.random.default_rng(1).normal(size=(101, 333)).astype(np.float32)
    results = [softmax_threaded(x, team=Team(k)).tobytes() for k in (1, 2, 5)]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [3, 333, 1024, 2047])
def test_short_rows_wherever_their_exponentials_are(dtype, columns, monkeypatch):
    """Exponentials in the result, in place, past the caches: the same bits, also of rows unlike their neighbours."""
    rng = np.random.default_rng(columns)
    x = rng.normal(size=(41, columns)) * 5
    x[3] -= 150  # far below the maximum of the rows done with it
    x[11:13, 0] = 1e4, -1e4
    x[19:21, 1] = np.nan, np.inf
    x[29] = -np.inf
    x[30, 2] = -np.inf
    x = x.astype(dtype)
    wanted = exact(np.delete(x, [19, 20, 29], axis=0))
    team, apart, in_place = Team(2), np.full_like(x, 7), x.copy()
    softmax_threaded(x, out=apart, team=team)
    softmax_threaded(in_place, out=in_place, team=team)
    monkeypatch.setattr(threaded, "STREAM_BYTES", 0)
    streamed = softmax_threaded(x, team=team)
    assert np.isnan(apart[[19, 20, 29]]).all()
    assert worst_ulp(np.delete(apart, [19, 20, 29], axis=0), wanted) <= (2 if dtype == np.float32 else 3)
    for other in (in_place, streamed):
        np.testing.assert_array_equal(apart, other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 2, 7, 100, 700, 2048])
def test_a_nan_that_the_maximum_does_not_show(dtype, columns):
    """Of negative sign, beside positive numbers; and in a block whose other rows have none."""
    negative_nan = np.array([1, np.copysign(np.nan, -1)], dtype)
    assert state_kernels.block_state(negative_nan, False, np.empty_like(negative_nan))[0] == state_kernels.BROKEN
    x = np.random.default_rng(columns).normal(size=(37, columns)).astype(dtype)
    x[:, 0] = np.abs(x[:, 0])
    wanted = exact(x)
    broken = [0, 5, 6, 36]
    x[broken, -1] = np.copysign(dtype(np.nan), dtype(-1))
    y = softmax_threaded(x, team=Team(1))
    assert np.isnan(y[broken]).all()
    assert worst_ulp(np.delete(y, broken, axis=0), np.delete(wanted, broken, axis=0)) <= 3
    m, d = row_states(x)
    assert np.isnan(d[broken]).all() and np.isfinite(np.delete(d, broken)).all()
    assert (m[:, None] >= np.nan_to_num(x, nan=-np.inf)).all(axis=1)[~np.isnan(m)].all()


@pytest.mark.parametrize("num_few", [0, 1, 20, 40])
@pytest.mark.parametrize("columns", [64, 333, 1024])
def test_rows_with_few_and_with_many_terms_in_one_block(columns, num_few):
    """Rows with one large logit take the long way, their neighbours the short one."""
    rng = np.random.default_rng(columns + num_few)
    x = rng.normal(size=(40, columns)).astype(np.float32)
    few = rng.permutation(40)[:num_few]
    x[few] -= 25
    x[few, 3] = 3
    y = softmax_threaded(x, team=Team(1))
    assert worst_ulp(y, exact(x)) <= 2
    alone = np.vstack([softmax_threaded(x[i : i + 1], team=Team(1)) for i in range(40)])
    np.testing.assert_array_equal(y, alone)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_states_of_rows(dtype):
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(size=(4, 5000)) * 3, rng.normal(size=(1, 5000)) * 900]).astype(dtype)
    x[0, 7] = -np.inf
    m, d = row_states(x)
    sums = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True)).sum(axis=1)
    assert np.array_equal(m, x.max(axis=1))
    assert np.allclose(d, sums.astype(float), rtol=1e-6 if dtype != np.float64 else 1e-14)
    m, d = row_states(np.array([[-np.inf, -np.inf], [np.nan, 1], [np.inf, 1]], dtype))
    assert m[0] == -np.inf and d[0] == 0 and np.isnan(d[1:]).all()
    assert [v.tolist() for v in row_states(np.empty((1, 0), dtype))] == [[-np.inf], [0.0]]


def test_probabilities_of_a_part():
    x = np.random.default_rng(4).normal(size=(3, 50))
    m, d = row_states(x)
    found = np.hstack([
        probabilities(np.ascontiguousarray(part), m, d, np.array([1.0, 2.0, 0.5])) for part in (x[:, :20], x[:, 20:])
    ])
    assert np.allclose(found, exact(x).astype(float) * [[1.0], [2.0], [0.5]], rtol=1e-14)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.0), (np.float64, 3.0)])
def test_probabilities_keep_what_a_subtraction_loses(dtype, limit):
    x = (np.random.default_rng(9).normal(size=(50, 40)) * 20).astype(dtype)
    exponentials = np.exp(x.astype(np.longdouble) - x.max(axis=1, keepdims=True).astype(np.longdouble))
    d = exponentials.sum(axis=1).astype(np.float64)
    y = probabilities(x, x.max(axis=1).astype(np.float64), d, np.ones(50))
    assert worst_ulp(y, exact(x)) <= limit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_negative_nan_in_a_block_of_minus_infinity(dtype):
    """By its bits it is below -inf, so the block's maximum does not show it."""
    x = np.zeros((1, 3 * state_kernels.BLOCK), dtype)
    x[0, : state_kernels.BLOCK] = -np.inf
    x[0, 17] = np.copysign(dtype(np.nan), dtype(-1))
    assert np.isnan(softmax_threaded(x)).all()


def test_gradients_of_long_rows():
    rng = np.random.default_rng(6)
    y = softmax_threaded(rng.normal(size=(3, 10_000)).astype(np.float32))
    g = rng.normal(size=y.shape).astype(np.float32)
    p, q = y.astype(np.longdouble), g.astype(np.longdouble)
    expected = (p * (q - (p * q).sum(axis=1, keepdims=True))).astype(np.float64)
    assert np.allclose(softmax_threaded_backward(y, g), expected, rtol=1e-5, atol=1e-10)


def test_kernels_are_kept_under_a_hash_of_all_their_files(tmp_path, monkeypatch):
    assert state_kernels.part_state.py_func.__qualname__ == f"part_state_{compiled.stamp()}"
    for part in compiled.PARTS:
        (tmp_path / f"{part}.py").write_text("x = 1\n")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    before = compiled.stamp.__wrapped__()
    (tmp_path / "exp.py").write_text("x = 2\n")
    assert compiled.stamp.__wrapped__() != before


def test_a_team_is_a_team():
    with pytest.raises(UsageError, match=r"Team\(2\)"):
        softmax_threaded(np.zeros((1, 1)), team=2)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.0), (np.float64, 3.0)])
@pytest.mark.parametrize("in_place", [False, True])
def test_rows_that_share_a_block_are_far_apart(dtype, limit, in_place):
    """Short rows are done with a maximum of several; a row far below it, or a broken one, must not notice."""
    rng = np.random.default_rng(11)
    for columns in (1, 3, 100, 256, 700):
        offsets = rng.choice([-190, -100, -15, -14, -9, 0, 5, 190], (40, 1))
        x = (rng.normal(size=(40, columns)) * 3 + offsets).astype(dtype)
        alone = np.concatenate([softmax_threaded(x[i : i + 1]) for i in range(40)])
        assert worst_ulp(alone, exact(x)) <= limit
        x[7], x[13], x[20, 0], x[31] = -np.inf, 900, np.nan, 1e30
        alone = np.concatenate([softmax_threaded(x[i : i + 1]) for i in range(40)])
        y = softmax_threaded(x, out=x if in_place else None)
        assert y.tobytes() == alone.tobytes()
        assert np.isnan(y[[7, 20]]).all() and np.allclose(y[[13, 31]], 1 / columns)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2.0), (np.float64, 3.0)])
def test_blocks_of_a_row_are_far_apart(dtype, limit):
    """Kept exponentials have an exponent of each block; blocks far below the row's maximum are computed again."""
    size = state_kernels.BLOCK
    for offsets in ([0, -10, -13.5, -14.5, -60], [-90, -60, 0, -np.inf, 0], [-190, -40, 100], [-np.inf, 5]):
        x = np.random.default_rng(12).normal(size=(2, size * len(offsets) - 100))
        x = (x + np.repeat(offsets, size)[:-100]).astype(dtype)
        x[1, -1] = 200  # one term makes the sum
        y = softmax_threaded(x, out=np.full_like(x, 9))
        assert worst_ulp(y, exact(x)) <= limit
        assert (y[np.isneginf(x)] == 0).all() and y.max() <= 1
        assert np.allclose(y[0].astype(float), softmax_threaded(x.copy(), out=x)[0], rtol=1e-6 if limit == 2 else 1e-15)
