"""Emulated products against exact fractions rounded by the codec, NumPy's own types, and a GPU where there is one."""

import math
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.floating_point.codec import decode, encode
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.mixed_precision.gpu import GPU_INPUTS, has_tensor_cores, multiply_8_bits, multiply_on_gpu
from labkit.floating_point.mixed_precision.growth import error_growth
from labkit.floating_point.mixed_precision.kernels import round_sum
from labkit.floating_point.mixed_precision.product import (
    ACCUMULATORS,
    INPUTS,
    exact_product,
    multiply_matrices,
    round_to,
)


def by_fractions(a, b, accumulator, chunk_size, rounding):
    """The definition: exact sums of accumulator and chunk, rounded once by the codec."""
    out = np.empty((len(a), b.shape[1]))
    for i in range(len(a)):
        for j in range(b.shape[1]):
            total = Fraction(0)
            for start in range(0, a.shape[1], chunk_size):
                part = slice(start, start + chunk_size)
                total += sum((Fraction(x) * Fraction(y) for x, y in zip(a[i, part], b[part, j], strict=True)), Fraction(0))
                value = decode(encode(total, accumulator, rounding=rounding), accumulator)
                assert math.isfinite(value)
                total = Fraction(value)
            out[i, j] = float(total)
    return out


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize("accumulator", [*ACCUMULATORS, "bfloat16", "TF32"])
@pytest.mark.parametrize(("chunk_size", "rounding"), [(1, "ties_to_even"), (4, "ties_to_even"), (5, "toward_zero"), (1, "toward_zero")])
def test_products_are_their_definition(inputs, accumulator, chunk_size, rounding):
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((3, 23)), rng.standard_normal((23, 4))
    a[:, ::3] *= 2.0 ** rng.integers(-6, 6, (3, 8))  # terms of different size
    b[-1], a[:, -1] = b[0], -a[:, 0]  # that cancel in part
    ours = multiply_matrices(
        a, b, inputs=inputs, accumulator=accumulator, chunk_size=chunk_size, accumulator_rounding=rounding
    )
    assert np.array_equal(ours, by_fractions(round_to(a, inputs), round_to(b, inputs), accumulator, chunk_size, rounding))


@pytest.mark.parametrize("accumulator", ["binary16", "binary32", "binary64", "E4M3", "E5M2", "E2M3", Format("E11M40", 11, 40), Format("E3M1", 3, 1, infinities=False)])
@pytest.mark.parametrize("toward_zero", [False, True])
def test_rounding_a_sum_is_the_codecs(accumulator, toward_zero):
    """Numbers of the format, middles between two, and what lies just beside them; beyond the largest and below the smallest."""
    fmt = find_format(accumulator)
    rng = np.random.default_rng(9)
    codes = np.unique(np.concatenate([rng.integers(0, fmt.max_code, 300), [0, 1, 2, fmt.max_code - 1, fmt.max_code]]))
    values = [fmt.value_of(int(code)) for code in codes]
    middles = [(fmt.value_of(int(code)) + fmt.value_of(int(code) + 1)) / 2 for code in codes if code < fmt.max_code]
    largest = float(fmt.max)
    overflow = largest if fmt.saturates else np.inf if fmt.infinities else np.nan
    target = fmt.significand_bits, fmt.min_exponent, largest, overflow
    rounding = "toward_zero" if toward_zero else "ties_to_even"
    for value in [*values, *middles, fmt.max * 2, fmt.max + fmt.max / 2**30]:
        if value >= 2**1024:
            continue  # beyond binary64
        high = float(value)
        if Fraction(high) != value or not np.isfinite(high):  # a middle of binary64
            continue
        spacing = math.ulp(high) if high else 0.0
        for low in (0.0, spacing / 4, -spacing / 4):
            if Fraction(low) * 4 != Fraction(spacing) * np.sign(low):
                continue  # too small to be had
            for sign in (1, -1):
                ours = round_sum(sign * high, sign * low, target, toward_zero)
                theirs = decode(encode(sign * (value + Fraction(low)), fmt, rounding=rounding), fmt)
                assert ours == theirs or (np.isnan(ours) and np.isnan(theirs)), (value, low, sign)


def test_numpys_own_half_precision_sums():
    a = np.random.default_rng(10).random((4, 60)).astype(np.float16)
    ones = np.ones((60, 1))
    total = np.zeros(4, np.float16)
    for column in a.T:
        total = total + column
    assert multiply_matrices(a, ones, inputs="binary16", accumulator="binary16")[:, 0].tolist() == total.tolist()


def test_a_chunk_is_not_rounded_within():
    a, b = np.array([[1.0, 2.0**-30, -1.0]]), np.ones((3, 1))
    assert multiply_matrices(a, b, chunk_size=1).item() == 0
    assert multiply_matrices(a, b, chunk_size=3).item() == 2.0**-30
    tiny = np.array([[1.0, 2.0**-100, -1.0]])
    assert multiply_matrices(tiny, b, chunk_size=4).item() == 2.0**-100


def test_infinities_and_nan():
    a = np.array([[np.inf, 1.0], [np.nan, 1.0], [np.inf, -np.inf], [60000.0, 60000.0], [-60000.0, -60000.0]])
    for chunk_size in (1, 2):
        out = multiply_matrices(a, np.ones((2, 1)), inputs="binary16", accumulator="binary16", chunk_size=chunk_size)
        assert np.array_equal(out[:, 0], [np.inf, np.nan, np.nan, np.inf, -np.inf], equal_nan=True)
    assert multiply_matrices(np.full((1, 2), 300.0), np.ones((2, 1)), inputs="E5M2", accumulator="E2M3").item() == 7.5


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (1, 1, 1), (3, 5, 0)])
def test_small_shapes(shape):
    m, k, n = shape
    assert multiply_matrices(np.ones((m, k)), np.ones((k, n))).tolist() == np.full((m, n), float(k)).tolist()


def test_the_reference_is_exact():
    rng = np.random.default_rng(11)
    a, b = rng.standard_normal((5, 70)).astype(np.float32), rng.standard_normal((70, 6)).astype(np.float32)
    exact = [[float(sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(row, column, strict=True))) for column in b.T] for row in a]
    assert exact_product(a, b).tolist() == exact


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("accumulator", ACCUMULATORS[:2])
@pytest.mark.parametrize(("chunk_size", "rounding"), [(1, "ties_to_even"), (16, "ties_to_even"), (8, "toward_zero")])
def test_errors_stay_below_their_bound(kind, accumulator, chunk_size, rounding):
    growth = error_growth(
        (7, 64, 512), accumulator=accumulator, chunk_size=chunk_size, accumulator_rounding=rounding, kind=kind, num_rows=8
    )
    assert (growth.worst <= growth.bound).all() and (growth.typical <= growth.worst).all() and growth.worst.all()
    assert growth.num_roundings.tolist() == [-(-k // chunk_size) for k in (7, 64, 512)]
    u = float(growth.accumulator.epsilon) / (1 if rounding == "toward_zero" else 2)
    assert np.allclose(growth.probable, np.sqrt(growth.num_roundings) * u)


def test_rounding_to_nearest_grows_like_the_root_and_cutting_off_like_k():
    nearest = error_growth((64, 4096), accumulator="binary32", kind="uniform", num_rows=12)
    cut = error_growth((64, 4096), accumulator="binary32", kind="uniform", num_rows=12, accumulator_rounding="toward_zero")
    assert 3 < nearest.typical[1] / nearest.typical[0] < 20  # sqrt(64) = 8
    assert 30 < cut.typical[1] / cut.typical[0] < 130  # 64
    assert (nearest.typical < nearest.probable).all() and cut.typical[1] > cut.probable[1]


def test_longer_accumulators_and_chunks_help():
    worst = {name: error_growth([1024], accumulator=name, kind="uniform", num_rows=8).worst[0] for name in ACCUMULATORS}
    assert worst["binary16"] > 1e3 * worst["binary32"] and worst["binary64"] == 0
    chunked = error_growth([1024], accumulator="binary16", chunk_size=16, kind="uniform", num_rows=8)
    assert chunked.worst[0] < worst["binary16"] / 2
    inputs = [error_growth([256], inputs=name, num_rows=8).worst_of_inputs[0] for name in INPUTS]
    assert inputs[0] == 0 and inputs[1] < inputs[2] < inputs[4] < inputs[5]  # TF32, bfloat16, E4M3, E5M2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: multiply_matrices(np.ones((2, 3)), np.ones((2, 3))), r"\(m, k\) and \(k, n\) fit together"),
        (lambda: multiply_matrices(np.ones(3), np.ones((3, 1))), "fit together"),
        (lambda: multiply_matrices([["a"]], [[1.0]]), "arrays of numbers"),
        (lambda: multiply_matrices(np.ones((1, 1)), np.ones((1, 1)), chunk_size=0), "chunk_size is a whole number"),
        (lambda: multiply_matrices(np.ones((1, 1)), np.ones((1, 1)), inputs="binary64"), "products of inputs"),
        (lambda: multiply_matrices(np.ones((1, 1)), np.ones((1, 1)), accumulator=Format("E3M0", 3, 0, infinities=False)), "has no trailing bits"),
        (lambda: multiply_matrices(np.ones((1, 1)), np.ones((1, 1)), accumulator_rounding="up"), "ties_to_even or toward_zero"),
        (lambda: multiply_matrices(np.ones((1, 9000)), np.ones((9000, 1))), "at most 8192"),
        (lambda: error_growth([]), "num_terms are whole numbers"), (lambda: error_growth([4], kind="even"), "kind is normal or uniform"),
        (lambda: error_growth([4], num_rows=0), "num_rows"), (lambda: error_growth([4], seed=-1), "seed"),
        (lambda: multiply_on_gpu(np.ones((1, 1)), np.ones((1, 1)), inputs="E5M2"), "inputs are binary32, TF32"),
        (lambda: multiply_on_gpu(np.ones((1, 2)), np.ones((1, 1))), "fit together"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()


def test_without_a_gpu_it_says_so(monkeypatch):
    monkeypatch.setattr("labkit.floating_point.mixed_precision.gpu.has_tensor_cores", lambda inputs: False)
    with pytest.raises(NotAvailableError, match="multiply_matrices, which emulates them"):
        multiply_on_gpu(np.ones((1, 1)), np.ones((1, 1)))


@pytest.mark.gpu
@pytest.mark.parametrize("inputs", GPU_INPUTS)
def test_tensor_cores_against_the_emulation(inputs):
    if not has_tensor_cores(inputs):
        pytest.skip("no GPU with tensor cores for it")
    rng = np.random.default_rng(12)
    a, b = rng.standard_normal((256, 512)), rng.standard_normal((512, 128))
    a, b = a.astype(np.float32), b.astype(np.float32)
    gpu = multiply_on_gpu(a, b, inputs=inputs)
    emulated = multiply_matrices(a, b, inputs=inputs, chunk_size=8, accumulator_rounding="toward_zero")
    size = exact_product(abs(round_to(a, inputs)), abs(round_to(b, inputs)))
    # Of 8-bit factors the tensor cores keep some 14 bits of a sum.
    assert (np.abs(gpu - emulated) <= (2.0**-10 if inputs == "E4M3" else 4 * 512 * 2.0**-24) * size).all()
    assert np.array_equal(gpu, gpu.astype(np.float32))  # numbers of binary32
    if inputs != "binary32":  # and the inputs have been rounded: the error is theirs
        assert np.abs(gpu - exact_product(a, b)).max() > 20 * np.abs(gpu - exact_product(round_to(a, inputs), round_to(b, inputs))).max()


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (16, 32, 48), (17, 100, 5), (0, 3, 2), (3, 0, 2)])
def test_the_product_of_8_bits_on_the_cpu(m, k, n):
    """The same code as on a GPU: sides are filled up to multiples of 16 and cut again."""
    rng = np.random.default_rng(m + k)
    a, b = 4 * rng.standard_normal((m, k)).astype(np.float32), 4 * rng.standard_normal((k, n)).astype(np.float32)
    found = multiply_8_bits(a, b, "cpu")
    exact = exact_product(round_to(a, "E4M3"), round_to(b, "E4M3"))
    size = exact_product(abs(round_to(a, "E4M3")), abs(round_to(b, "E4M3")))
    assert found.shape == (m, n) and (np.abs(found - exact) <= (k + 1) * 2.0**-23 * size).all()
