"""Kernels of one loop: what they refuse, results in arrays of the caller, the same bits on any team."""

import math

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.kernels.arrays import output, vector
from labkit.openmp.kernels.dot import dot_atomic, dot_fast, dot_serial
from labkit.openmp.kernels.histogram import histogram_atomic, histogram_fast, histogram_private, histogram_serial
from labkit.openmp.kernels.jacobi import jacobi_columns, jacobi_fast, jacobi_serial
from labkit.openmp.kernels.ladder import ladder, ladder_names
from labkit.openmp.kernels.mandelbrot import mandelbrot_dynamic, mandelbrot_fast, mandelbrot_serial
from labkit.openmp.kernels.mandelbrot import oracle as mandelbrot_oracle
from labkit.openmp.kernels.matrix_product import matrix_product_blocked, matrix_product_rows
from labkit.openmp.kernels.n_body import n_body_fast
from labkit.openmp.kernels.pi import oracle as pi_oracle
from labkit.openmp.kernels.pi import pi_fast, pi_serial
from labkit.openmp.kernels.prefix_sum import prefix_sum_fast, prefix_sum_two_pass, prefix_sum_work_efficient
from labkit.openmp.kernels.sparse_matrix_vector import SparseMatrix, oracle, sparse_matrix_vector_fast
from labkit.openmp.team import Team

TEAM = Team(2)
READ_ONLY = np.zeros(4)
READ_ONLY.flags.writeable = False
BIG_ENDIAN = np.zeros(4, ">f8")


@pytest.mark.parametrize(("array", "words"), [
    ([1.0, 2.0], "x is a NumPy array of float64, not list"),
    (np.zeros(4, np.float32), "not float32: pass x.astype\\('float64'\\)"),
    (BIG_ENDIAN, "float64, not >f8"),
    (np.zeros((2, 2)), "1 dimension, but its shape is \\(2, 2\\)"),
    (np.zeros(8)[::2], "contiguous .* x.copy\\(\\)"),
    (np.frombuffer(bytes(33), np.uint8)[1:].view(np.float64), "aligned"),
    (np.zeros(3), "shape \\(4,\\) to fit the others, not \\(3,\\)"),
])  # fmt: skip
def test_arrays_that_do_not_fit(array, words):
    with pytest.raises(UsageError, match=words):
        vector("x", array, 4)


def test_subclasses_of_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=(9, 9))
    mapped[:] = np.random.default_rng(7).random((9, 9))
    values = np.array(mapped)
    for x in (mapped, values.view(type("Mine", (np.ndarray,), {}))):
        assert np.array_equal(jacobi_fast(TEAM, x, 3), jacobi_fast(TEAM, values, 3))
    last = prefix_sum_fast(TEAM, values.ravel(), out=mapped.reshape(-1))[-1]
    assert last == mapped[8, 8] == pytest.approx(values.sum())
    masked = np.ma.masked_array(np.ones(4, int))
    for refused in (lambda: dot_fast(TEAM, masked.astype(float), np.ones(4)), lambda: histogram_fast(TEAM, masked, 3)):
        with pytest.raises(UsageError, match="not MaskedArray"):
            refused()


@pytest.mark.parametrize(("out", "words"), [
    (np.zeros(5), "shape \\(4,\\)"), (np.zeros(4, int), "float64, not int64"), (READ_ONLY, "cannot be written"),
    (None, None),
])  # fmt: skip
def test_arrays_for_results(out, words):
    x = np.ones(4)
    if words is None:
        assert output(None, (4,), np.float64, x).shape == (4,)
        with pytest.raises(UsageError, match="shares memory with an input"):
            output(x, (4,), np.float64, x)
        return
    with pytest.raises(UsageError, match=words):
        output(out, (4,), np.float64, x)


@pytest.mark.parametrize("name", [
    "copy", "scale", "add", "triad", "matrix_product", "jacobi", "mandelbrot", "prefix_sum", "n_body",
    "sparse_matrix_vector",
])  # fmt: skip
def test_results_go_where_they_are_wanted_and_inputs_stay(name):
    its = ladder(name)
    inputs, kept = its.make_input(40), its.make_input(40)
    right = its.oracle(*inputs)
    for version in its.versions:
        if version.is_correct:
            out = np.full_like(right, 7)
            assert version.function(TEAM, *inputs, out=out) is out and its.is_right(out, right)
    assert all(np.array_equal(a, b) for a, b in zip(inputs, kept, strict=True) if isinstance(a, np.ndarray))
    refused = np.zeros(3, np.float16)
    for version in its.versions:
        with pytest.raises(UsageError, match="out "):
            version.function(TEAM, *inputs, out=refused)


@pytest.mark.parametrize("name", sorted(set(ladder_names()) - {"fibonacci", "pi"}))
def test_every_version_refuses_what_is_no_array(name):
    its = ladder(name)
    _, *rest = its.make_input(4)
    for version in its.versions:
        with pytest.raises(UsageError, match="SparseMatrix|NumPy array"):
            version.function(TEAM, "abc", *rest)


def test_stream_operations_take_their_own_arguments():
    triad, a = ladder("triad").version("fast").function, np.ones(3)
    for wrong, words in [((a, a), "triad takes \\(a, b, scalar\\), not 2"), ((a, 2.0, a), "b is a NumPy array"),
                         ((a, a, math.nan), "scalar is a finite number, not nan"), ((a, a, "2x"), "scalar"),
                         ((a, np.ones(4), 2.0), "b has shape \\(3,\\)")]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            triad(TEAM, *wrong)


def test_dot_of_special_values_and_cancelling_sums():
    assert dot_fast(TEAM, np.array([np.inf, 1.0]), np.array([2.0, 1.0])) == np.inf
    for dot in (dot_serial, dot_atomic, dot_fast):
        assert math.isnan(dot(TEAM, np.array([np.inf, -np.inf]), np.ones(2)))
    x = np.array([1e16, 3.0, -1e16, 4.0])
    assert dot_serial(TEAM, x, np.ones(4)) == ((1e16 + 3.0) - 1e16) + 4.0
    with pytest.raises(UsageError, match="y has shape"):
        dot_fast(TEAM, np.ones(3), np.ones(2))


@pytest.mark.parametrize(("m", "k", "n"), [(3, 5, 2), (33, 70, 300), (34, 39, 1100), (1, 0, 4), (0, 3, 2), (2, 3, 0), (40, 3, 1)])
def test_matrix_products_that_are_not_square(m, k, n):
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    for product in (matrix_product_rows, matrix_product_blocked):
        np.testing.assert_allclose(product(Team(3), a, b), a @ b, rtol=0, atol=1e-12 * (1 + k))
    with pytest.raises(UsageError, match="b has shape"):
        matrix_product_blocked(TEAM, a, np.zeros((k + 1, n)))


@pytest.mark.parametrize("shape", [(3, 9), (9, 3), (2, 9), (9, 2), (1, 1), (0, 4), (4, 0), (17, 40)])
@pytest.mark.parametrize("num_sweeps", [0, 1, 2, 5])
def test_jacobi_on_grids_of_any_shape_bit_by_bit(shape, num_sweeps):
    grid = np.random.default_rng(2).random(shape)
    right = ladder("jacobi").oracle(grid, num_sweeps)
    for jacobi in (jacobi_serial, jacobi_columns, jacobi_fast):
        assert np.array_equal(jacobi(Team(3), grid, num_sweeps), right)
        out, work = np.full(shape, 7.0), np.full(shape, 8.0)
        assert jacobi(Team(2), grid, num_sweeps, out=out, work=work) is out and np.array_equal(out, right)
    with pytest.raises(UsageError, match="num_sweeps"):
        jacobi_fast(TEAM, grid, -1)


def test_mandelbrot_points_at_the_edge():
    real = np.array([-2.0, -2.0000001, 0.25, 0.2500001, 0.0, 100.0, -1e300, np.inf, np.nan])
    with np.errstate(all="ignore"):
        right = mandelbrot_oracle(real, np.array([0.0, 1e-9]), 9)
    assert right[0].tolist() == [9, 1, 9, 9, 9, 1, 1, 1, 1]
    for steps in (0, 1, 7, 8, 9):
        for mandelbrot in (mandelbrot_serial, mandelbrot_dynamic, mandelbrot_fast):
            assert np.array_equal(mandelbrot(TEAM, real, np.array([0.0, 1e-9]), steps), np.minimum(right, steps))
    with pytest.raises(UsageError, match="max_steps"):
        mandelbrot_fast(TEAM, real, real, 2**31)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "uint64"])
def test_histogram_of_all_kinds_of_whole_numbers(dtype):
    values = np.random.default_rng(3).integers(0, 100, 5001).astype(dtype)
    for histogram in (histogram_serial, histogram_atomic, histogram_private, histogram_fast):
        for num_bins in (100, 1025, 5000):
            counts = histogram(Team(3), values, num_bins)
            assert counts.dtype == np.int64 and np.array_equal(counts, np.bincount(values, minlength=num_bins))


@pytest.mark.parametrize("where", [0, 2047, 2048, 4999])
@pytest.mark.parametrize("wrong", [10, 15, 16, 17, 1000, 2**62, -1, -(2**63)])
def test_histogram_refuses_values_without_a_bin_and_writes_nowhere(where, wrong):
    values = np.zeros(5000, np.int64)
    values[where] = wrong
    for histogram in (histogram_serial, histogram_atomic, histogram_private, histogram_fast):
        for team in (Team(1), Team(3)):
            with pytest.raises(UsageError, match=f"from 0 to num_bins - 1 = 9, but values\\[{where}\\] is {wrong}:"):
                histogram(team, values, 10)


@pytest.mark.parametrize(("values", "num_bins", "words"), [
    (np.array([0.5, np.nan]), 4, "whole numbers with one dimension, not float64 .*astype\\(np.int64\\)"),
    (np.zeros((2, 2), int), 4, "one dimension"), (np.zeros(4, int)[::2], 4, "values.copy"),
    (np.zeros(2, bool), 4, "not bool"), (np.zeros(2, ">i8"), 4, "values.copy"), ([1, 2], 4, "not list"),
    (np.zeros(2, int), 0, "num_bins"), (np.zeros(2, int), 2**40, "num_bins"), (np.zeros(2, int), 2.5, "num_bins"),
])  # fmt: skip
def test_what_histogram_refuses(values, num_bins, words):
    for histogram in (histogram_serial, histogram_fast):
        with pytest.raises(UsageError, match=words):
            histogram(TEAM, values, num_bins)


def test_prefix_sums_of_whole_numbers_wrap_as_numpys():
    x = np.random.default_rng(4).integers(-(2**62), 2**62, 30_000)
    with np.errstate(over="ignore"):
        right = np.cumsum(x)
    for prefix_sum in (prefix_sum_two_pass, prefix_sum_work_efficient, prefix_sum_fast):
        assert np.array_equal(prefix_sum(Team(3), x), right)
    with pytest.raises(UsageError, match="float64 or int64, not int32"):
        prefix_sum_fast(TEAM, x.astype(np.int32))


def test_prefix_sums_have_the_same_bits_on_any_team_and_pass_on_infinity():
    x = np.random.default_rng(5).standard_normal(100_003)
    for prefix_sum in (prefix_sum_two_pass, prefix_sum_fast):
        first = prefix_sum(Team(1), x)
        assert all(np.array_equal(prefix_sum(Team(p), x), first) for p in (2, 3, 7) for _ in range(5))
        x[50_000] = np.inf
        result = prefix_sum(TEAM, x)
        assert np.isfinite(result[:50_000]).all() and np.isposinf(result[50_000:]).all()
        x[50_000] = 0.0


def test_n_body_forces_cancel_and_bad_bodies():
    positions, masses, softening = ladder("n_body").make_input(200)
    forces = n_body_fast(TEAM, positions, masses, softening) * masses
    assert np.abs(forces.sum(axis=1)).max() < 1e-12 * np.abs(forces).sum()  # Newton's third law
    for wrong, words in [
        ((positions.T.copy(), masses, 0.1), "shape \\(3, n\\)"), ((positions, masses, 0.0), "softening"),
        ((positions, masses, np.nan), "softening"), ((positions, masses[:9].copy(), 0.1), "masses"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            n_body_fast(TEAM, *wrong)


@pytest.mark.parametrize("lengths", [[0, 0, 9000, 0, 1, 0], [0], [4096, 4096], [4095, 2, 4095], [20_000], [1] * 5000])
def test_sparse_rows_cut_anywhere(lengths):
    rng = np.random.default_rng(6)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    matrix = SparseMatrix(starts, rng.integers(0, 50, starts[-1]), rng.random(starts[-1]), 50)
    x = rng.random(50)
    first = sparse_matrix_vector_fast(Team(1), matrix, x)
    np.testing.assert_allclose(first, oracle(matrix, x), rtol=1e-12)
    assert np.array_equal(sparse_matrix_vector_fast(Team(5), matrix, x, schedule="dynamic"), first)


@pytest.mark.parametrize(("starts", "columns", "words"), [
    ([0, 2], [0, 5], "columns\\[1\\] is 5"), ([0, 2], [-1, 0], "columns\\[0\\] is -1"), ([0, 3], [0, 1], "row_starts"),
    ([0, 2, 1, 2], [0, 1], "row_starts"), ([1, 2], [0, 1], "row_starts"), ([], [], "row_starts"),
])  # fmt: skip
def test_sparse_matrices_that_are_none(starts, columns, words):
    with pytest.raises(UsageError, match=words):
        SparseMatrix(np.array(starts, np.int64), np.array(columns, np.int64), np.ones(len(columns)), 5)
    good = SparseMatrix(np.array([0, 1]), np.array([4]), np.ones(1), 5)
    with pytest.raises(UsageError, match="x has shape \\(5,\\)"):
        sparse_matrix_vector_fast(TEAM, good, np.ones(4))


def test_pi_is_the_same_for_any_team_and_near_pi():
    schedules = "static", "dynamic,77", "guided"
    values = {pi_fast(Team(p), 400_000, 9, schedule=schedule) for p in (1, 2, 3, 5) for schedule in schedules}
    assert values == {pi_serial(None, 400_000, 9)}
    assert abs(values.pop() - math.pi) < 5 * 1.64 / math.sqrt(400_000)
    assert all(pi_fast(TEAM, n, seed) == pi_oracle(n, seed) for n in range(1, 60) for seed in (0, 5, 2**63 - 1))
    for wrong, words in [((0,), "num_points"), ((10, -1), "seed"), ((1.5,), "num_points"), ((10, 2**63), "seed")]:
        with pytest.raises(UsageError, match=words):
            pi_fast(TEAM, *wrong)


def test_many_more_threads_than_elements():
    for name in ladder_names():
        its = ladder(name)
        inputs = its.make_input(3)
        for version in its.versions:
            if version.is_correct:
                assert its.is_right(version.function(Team(40), *inputs), its.oracle(*inputs)), (name, version.name)
