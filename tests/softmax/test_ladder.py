"""Every version of softmax: one signature, the same stated results, errors in ulp, gradients."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.softmax.accuracy import exact_softmax, failure_map, measure_accuracy, ulp_errors
from labkit.softmax.blocked import softmax_blocked, softmax_blocked_backward
from labkit.softmax.ladder import VERSIONS, find_version, softmax, softmax_backward
from tests.softmax.rows import BROKEN, DTYPES, FINITE, PLAIN, broken_row, cast, errors_in_ulp, exact

ON_CPU = [name for name, version in VERSIONS.items() if not version.needs_gpu]
SAFE = [name for name in ON_CPU if name != "naive"]
ROOT = Path(__file__).parents[2]


def probabilities(x, version, **options):
    y = softmax(x, version=version, **options)
    return np.exp(y.astype(np.float64)) if VERSIONS[version].is_log else y


@pytest.mark.parametrize("rows", FINITE)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", SAFE)
def test_probabilities_of_finite_rows(version, dtype, rows):
    x = cast(FINITE[rows], dtype)
    x = x[~np.isinf(x).any(axis=1)] if rows not in ("some -inf",) else x  # float16 has no 1e38
    y = probabilities(x, version)
    assert y.shape == x.shape and (VERSIONS[version].is_log or y.dtype == dtype)
    expected = np.array([[float(p) for p in exact(row)] for row in x]).reshape(x.shape)
    eps = np.finfo(dtype).eps
    distance = np.array([max(row) for row in x], np.float64)[:, None] - x.astype(np.float64) if x.size else 0
    size = np.minimum(np.where(np.isfinite(distance), distance, 0), 800)
    # x - m is rounded in the simple versions: relative error (distance / 2) ulp. A logarithm is rounded as a whole.
    allowed = eps * (4 + size)
    assert (np.abs(y - expected) <= allowed * expected + 4 * np.finfo(dtype).smallest_subnormal).all()
    if len(x):
        assert np.allclose(y.astype(np.float64).sum(axis=1), 1, rtol=0, atol=20 * eps)


@pytest.mark.parametrize("width", [None, 5000])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", SAFE)
def test_rows_without_softmax_are_nan_and_leave_others_alone(version, dtype, width):
    for name in BROKEN:
        row = broken_row(name, dtype, width)
        x = np.concatenate([np.zeros_like(row), row, np.zeros_like(row)])
        y = probabilities(x, version)
        assert np.isnan(y[1]).all(), name
        tolerance = 1e-2 if VERSIONS[version].is_log and dtype == np.float16 else 1e-3  # of exp of a rounded logarithm
        assert np.allclose(y[[0, 2]].astype(np.float64), 1 / row.size, rtol=tolerance), name


@pytest.mark.parametrize("version", SAFE)
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_empty_arrays(version, shape):
    y = softmax(np.empty(shape, np.float32), version=version)
    assert y.shape == shape and y.dtype == np.float32
    assert softmax_backward(y, y, version=version).shape == shape


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", SAFE)
def test_one_column_gives_exactly_one(version, dtype):
    x = cast(np.linspace(-300, 300, 601)[:, None], dtype)
    assert (probabilities(x, version) == 1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("version", SAFE)
def test_a_million_columns(version, dtype):
    x = np.random.default_rng(3).normal(size=(1, 10**6)).astype(dtype) * 4
    x[0, 123_456] = -np.inf
    y = probabilities(x, version)
    e = np.exp(x.astype(np.longdouble) - x.max())
    expected = (e / e.sum()).astype(np.float64)
    assert np.allclose(y, expected, rtol=100 * np.finfo(dtype).eps, atol=0) and y[0, 123_456] == 0


def test_the_definition_overflows_and_underflows():
    assert np.isnan(softmax(np.array([[1e4, 1e4]]), version="naive")).all()
    assert np.isnan(softmax(np.array([[-1e4, -1e4]]), version="naive")).all()
    assert np.isnan(softmax(np.array([[89.0, 0.0]], np.float32), version="naive")[0, 0])
    x = cast(PLAIN, np.float64)
    assert np.allclose(softmax(x, version="naive"), softmax(x, version="shifted"), rtol=1e-14)


@pytest.mark.parametrize(("dtype", "limit"), [(np.float16, 0.51), (np.float32, 2.0), (np.float64, 3.0)])
def test_errors_of_threaded_in_ulp(dtype, limit):
    rng = np.random.default_rng(11)
    for columns, spread in ((1, 1), (7, 20), (64, 5), (515, 30)):
        x = cast(rng.normal(size=(3, columns)) * spread + rng.normal(size=(3, 1)) * 30, dtype)
        errors = errors_in_ulp(softmax(x, version="threaded"), x, 1e-30 if dtype != np.float16 else 1e-4)
        assert errors.size and errors.max() <= limit


def test_accuracy_of_versions_agrees_with_the_other_oracle():
    x = cast(PLAIN * 9, np.float32)
    found = {result.version: result for result in measure_accuracy(x, ["naive", "shifted", "threaded", "log"])}
    for name in ("shifted", "threaded"):
        errors = errors_in_ulp(softmax(x, version=name), x)
        assert found[name].max_ulp == pytest.approx(errors.max(), rel=1e-3)
        assert found[name].mean_ulp == pytest.approx(errors.mean(), rel=1e-3)
        assert found[name].num_results == errors.size
    assert found["threaded"].max_ulp < 2 < found["shifted"].max_ulp
    with pytest.raises(UsageError, match="largest number"):
        exact_softmax(np.array([[np.nan]]))
    assert ulp_errors(np.array([[np.nan]]), exact_softmax(np.zeros((1, 1)))).tolist() == [[np.inf]]


def test_failure_map():
    found = failure_map([0.0, 1.0], [-120.0, 0.0, 20.0, 100.0], ["float16", "float32", "float64"])
    assert np.isinf(found.errors).tolist() == [
        [True, False, True, True], [True, False, False, True], [False, False, False, False]
    ]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", ON_CPU)
def test_gradients(version, dtype):
    """Against the derivative of sum(g * f(x)) by differences in float64 with step 1e-6."""
    rng = np.random.default_rng(5)
    x = cast(rng.normal(size=(3, 6)), dtype)
    g = cast(rng.normal(size=(3, 6)), dtype)

    def loss(x):
        y = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        return (g * (y if VERSIONS[version].is_log else np.exp(y))).sum()

    expected = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = 1e-6
        expected[place] = (loss(x.astype(np.float64) + step) - loss(x.astype(np.float64) - step)) / 2e-6
    found = softmax_backward(softmax(x, version=version), g, version=version)
    assert found.dtype == dtype
    assert np.allclose(found.astype(np.float64), expected, rtol=0, atol=max(1e-8, 8 * np.finfo(dtype).eps))


@pytest.mark.parametrize("version", ON_CPU)
def test_result_arrays(version):
    x = cast(PLAIN, np.float32)
    expected = softmax(x, version=version)
    out = np.full_like(x, 7)
    assert softmax(x, version=version, out=out) is out and np.array_equal(out, expected)
    same = x.copy()
    assert softmax(same, version=version, out=same) is same and np.array_equal(same, expected)
    g = cast(PLAIN[::-1], np.float32)
    gradient = softmax_backward(expected, g, version=version)
    for out in (np.empty_like(x), expected.copy(), g.copy()):
        y = out if np.array_equal(out, expected) else expected
        upstream = out if np.array_equal(out, g) else g
        assert np.array_equal(softmax_backward(y, upstream, version=version, out=out), gradient)


@pytest.mark.parametrize("version", ON_CPU)
def test_bad_input(version):
    good = np.zeros((4, 6), np.float32)
    wrong = [
        (np.zeros((4, 6), int), "float16, float32"), (np.zeros((4, 6), object), "float16, float32 or float64"),
        (np.zeros((4, 6), ">f4"), "byte order"), (np.zeros((4, 6), np.longdouble), "float16, float32 or float64"),
        (np.zeros((4, 6), complex), "float16, float32"), (np.zeros(6), r"x\[None, :\]"),
        (np.zeros((2, 3, 4)), "reshape"), (np.float64(3), "not a float64"), (good.T, "ascontiguousarray"),
        (good[:, ::2], "contiguous"), ([[1.0]], "not a list"),
        (np.ma.masked_array(good), "MaskedArray"), (None, "NoneType"),
    ]
    for x, words in wrong:
        with pytest.raises(UsageError, match=words):
            softmax(x, version=version)
        with pytest.raises(UsageError):
            softmax_backward(good, x, version=version)
    room = np.zeros(40, np.float32)
    read_only = good.copy()
    read_only.flags.writeable = False
    for out, words in [
        (np.zeros((4, 5), np.float32), "shape and type"), (np.zeros((4, 6)), "shape and type"), (good.T, "contiguous"),
        (read_only, "read-only"), ("out", "NumPy array"),
    ]:
        with pytest.raises(UsageError, match=words):
            softmax(good, version=version, out=out)
    with pytest.raises(UsageError, match="overlap"):
        softmax(room[:24].reshape(4, 6), version=version, out=room[6:30].reshape(4, 6))
    with pytest.raises(UsageError, match="overlap"):
        softmax_backward(good, room[:24].reshape(4, 6), version=version, out=room[6:30].reshape(4, 6))


def test_versions_by_name():
    with pytest.raises(UsageError, match="naive, shifted, log"):
        softmax(np.zeros((1, 1)), version="fast")
    with pytest.raises(UsageError):
        find_version(3)
    reads = {name: (version.num_reads, version.num_writes) for name, version in VERSIONS.items()}
    assert reads["shifted"] == (3, 1) and reads["online"] == (2, 1)  # Milakov and Gimelshein 2018, table in section 4


@pytest.mark.parametrize("block_size", [1, 2, 3, 9, 100])
def test_block_sizes(block_size):
    x = cast(FINITE["offset"], np.float64)
    assert np.allclose(softmax_blocked(x, block_size=block_size), softmax(x, version="two_pass"), rtol=1e-12)
    y, g = softmax(x), cast(PLAIN, np.float64)
    found = softmax_blocked_backward(y, g, block_size=block_size)
    assert np.allclose(found, softmax_backward(y, g, version="naive"), rtol=1e-12, atol=1e-15)
    with pytest.raises(UsageError, match="block_size"):
        softmax_blocked(x, block_size=0)


def test_import_is_light():
    modules = "labkit.softmax, labkit.softmax.ladder, labkit.softmax.options, labkit.softmax.gpu"
    program = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"torch", "triton", "numba", "mpi4py", "plotly"})
