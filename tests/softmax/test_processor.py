"""What is said to the processor arrives there, and changes no value."""

import numpy as np
import pytest
from numba import njit

from labkit.openmp.prefetch import prefetch
from labkit.softmax.processor import ask_for, wide_registers

FLAGS = "/proc/cpuinfo"


@njit
def doubled_sum(x, out):
    wide_registers()
    for i in range(x.size):
        out[i] = x[i] + x[i]


def has_avx512() -> bool:
    try:
        with open(FLAGS) as text:
            return "avx512f" in text.read()
    except OSError:
        return False


def test_the_wish_for_wide_registers_reaches_the_compiler():
    x = np.arange(1003, dtype=np.float32)
    out = np.empty_like(x)
    doubled_sum(x, out)
    np.testing.assert_array_equal(out, 2 * x)
    text = next(iter(doubled_sum.inspect_llvm().values()))
    assert '"prefer-vector-width"="512"' in text and "noinline" in text
    if has_avx512():
        assert "%zmm" in next(iter(doubled_sum.inspect_asm().values()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("start", [0, 5, 10**6, 2**40, -(2**40)])
def test_asking_for_memory_that_is_not_there_does_nothing(dtype, start):
    @njit
    def ask(x, start):
        ask_for(x, start, 256)
        prefetch(x.ctypes.data + x.itemsize * start)
        return x.sum()

    assert ask(np.ones(100, dtype), start) == 100
