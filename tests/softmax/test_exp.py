"""The exponential function of our own: its error, over all float32 inputs if asked for, and that it is vectorised.

LABKIT_EXHAUSTIVE=1 takes every float32 (a minute or two), otherwise one in 997.
"""

import os
import platform
import re

import mpmath
import numpy as np
import pytest
from llvmlite import binding
from numba import njit

from labkit.errors import UsageError
from labkit.softmax import exp, threaded_kernels
from labkit.softmax import state_kernels as states
from labkit.softmax.threaded import exp_own

STRIDE = 1 if os.environ.get("LABKIT_EXHAUSTIVE") else 997
PART = 2**22


def float32_errors(function, first, last, stride):
    """Largest error in ulp over the floats with bit patterns first, first + stride, ... below last."""
    worst = 0.0
    for start in range(first, last, PART * stride):
        codes = np.arange(start, min(start + PART * stride, last), stride, dtype=np.int64)
        x = codes.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            exact = np.exp(x.astype(np.float64))
            found = function(x).astype(np.float64)
            rounded = exact.astype(np.float32)
            unit = np.spacing(rounded).astype(np.float64)
            errors = np.abs(found - exact) / unit
        finite = np.isfinite(rounded) & np.isfinite(x)
        assert np.isinf(found[np.isposinf(rounded)]).all()
        assert np.isnan(found[np.isnan(x)]).all() and (found[np.isneginf(x)] == 0).all()
        worst = max(worst, errors[finite].max(initial=0))
    return worst


@pytest.mark.timeout(1200)
def test_error_over_all_float32():
    assert 0.5 <= float32_errors(exp_own, 0, 2**32, STRIDE) <= 1.02  # of all 2^32: 1.0193


@pytest.mark.timeout(600)
def test_error_of_scaled_exponentials_in_the_range_of_softmax():
    """exp_scaled for x of -200 to 0, times 2^60, which is exact."""
    def scaled(x):
        out = np.empty_like(x)
        states.exponentials(x, np.float32(-126), ROUNDER, out)
        return np.ldexp(out.astype(np.float64), -60)

    x = np.arange(2**31, np.float32(-100).view(np.uint32), 97, dtype=np.int64).astype(np.uint32).view(np.float32)
    exact = np.exp(x.astype(np.float64))
    units = np.ldexp(1.0, np.frexp(exact)[1] - 24)
    assert (np.abs(scaled(x) - exact) / units).max() <= 1.0


ROUNDER = np.float32(1.5 * 2**23 + 60 + 127)


def test_error_in_float64():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.uniform(-708, 709.7, 3000), rng.uniform(-1, 1, 2000), rng.uniform(-745.1, -708, 500)])
    found = exp_own(x)
    with mpmath.workdps(40):
        errors = [
            float(abs(mpmath.mpf(float(y)) - mpmath.exp(mpmath.mpf(float(v)))) / float(np.spacing(np.exp(v))))
            for v, y in zip(x, found, strict=True)
        ]
    assert max(errors) <= 1.01


def test_special_values():
    for dtype in (np.float32, np.float64):
        x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e30, -1e30, 5e-324], dtype)
        expected = np.array([1, 1, np.inf, 0, np.nan, np.nan, np.inf, 0, 1], dtype)
        assert np.array_equal(exp_own(x), expected, equal_nan=True)
    assert exp_own(np.zeros((2, 3))).shape == (2, 3) and exp_own(np.zeros(0)).shape == (0,)
    out = np.empty((2, 2), np.float32)
    assert exp_own(np.zeros((2, 2), np.float32), out=out) is out and (out == 1).all()
    with pytest.raises(UsageError, match="float32 or float64"):
        exp_own(np.zeros(3, int))
    with pytest.raises(UsageError, match="contiguous"):
        exp_own(np.zeros(6)[::2])


@pytest.mark.parametrize(
    ("function", "numbers"), [(exp.exp_into32, 0), (states.exponentials, 2), (threaded_kernels.quotients, 4)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_are_packed_instructions(dtype, function, numbers):
    if dtype == np.float64 and function is exp.exp_into32:
        function = exp.exp_into64
    fresh = njit(function.py_func)  # the text of a function from Numba's files is not kept
    x = np.zeros(64, dtype)
    fresh(x, *[dtype(1)] * numbers, np.empty_like(x))
    (text,) = fresh.inspect_asm().values()
    name = "ps" if dtype == np.float32 else "pd"
    if binding.get_host_cpu_features().get("fma"):
        assert len(re.findall(rf"vfn?m(?:add|sub)\d+{name}\s", text)) >= 8
    elif platform.machine() in ("x86_64", "AMD64"):
        assert len(re.findall(rf"mul{name}\s", text)) >= 8
    else:
        assert re.search(r"fml[as]\s+v\d+", text)  # AArch64
    assert not re.search(r"\bcall\w*\s.*exp", text)
