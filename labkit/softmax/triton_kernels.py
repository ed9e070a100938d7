"""Softmax and cross-entropy as GPU kernels in Triton; :mod:`.gpu` launches them.

A *program* does one row. ``num_columns`` is split into blocks of a power of two that a program holds in registers.
Elements beyond the row are read as -inf, whose exponential is 0. Arithmetic is in float32, or in float64 for float64.

With ``TRITON_INTERPRET=1`` in the environment before Triton is imported, the same functions run on a CPU.
"""
# No "from __future__ import annotations" here: Triton reads the annotation tl.constexpr.

from labkit.errors import NotAvailableError

try:
    import triton
    import triton.language as tl
except ImportError:
    raise_without = True

    class tl:  # stands for the module in annotations
        constexpr = None

    class triton:
        """Without Triton the kernels below are plain functions that nobody calls: gpu.py says what is missing."""

        jit = staticmethod(lambda function: function)
else:
    raise_without = False


def check_triton() -> None:
    """Raise NotAvailableError without Triton."""
    if raise_without:
        raise NotAvailableError("softmax on a GPU needs Triton, which is not installed: 'pip install triton' (Linux).")


@triton.jit
def wide_load(x, places, inside, DOUBLE: tl.constexpr):
    """Elements as float32 or float64; -inf outside of the row."""
    values = tl.load(x + places, mask=inside, other=-float("inf"))
    if DOUBLE:
        return values.to(tl.float64)
    return values.to(tl.float32)


@triton.jit
def softmax_row(x, y, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    """A row that fits in one block: read once, written once."""
    start = tl.program_id(0).to(tl.int64) * num_columns
    columns = tl.arange(0, BLOCK)
    inside = columns < num_columns
    values = wide_load(x, start + columns, inside, DOUBLE)
    exponentials = tl.exp(values - tl.max(values, axis=0))
    tl.store(y + start + columns, (exponentials / tl.sum(exponentials, axis=0)).to(y.dtype.element_ty), mask=inside)


@triton.jit
def row_state(x, start, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    """Online softmax over the blocks of a row: (m, d). m is 0 instead of -inf, so that ``exp(-inf - m)`` is 0.

    Each place of the block has a state of its own, and they are merged at the end: no block waits for a sum.
    """
    if DOUBLE:
        m = tl.full([BLOCK], -float("inf"), tl.float64)
    else:
        m = tl.full([BLOCK], -float("inf"), tl.float32)
    d = tl.zeros_like(m)
    for first in range(0, num_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        values = wide_load(x, start + columns, columns < num_columns, DOUBLE)
        new = tl.maximum(m, values)
        shift = tl.where(new == -float("inf"), 0.0, new)
        d = d * tl.exp(m - shift) + tl.exp(values - shift)
        m = new
    top = tl.max(m, axis=0)
    top = tl.where(top == -float("inf"), 0.0, top)
    return top, tl.sum(d * tl.exp(m - top), axis=0)


@triton.jit
def softmax_long_row(x, y, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    """A row of several blocks: read twice, written once."""
    start = tl.program_id(0).to(tl.int64) * num_columns
    m, d = row_state(x, start, num_columns, BLOCK, DOUBLE)
    for first in range(0, num_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < num_columns
        values = wide_load(x, start + columns, inside, DOUBLE)
        tl.store(y + start + columns, (tl.exp(values - m) / d).to(y.dtype.element_ty), mask=inside)


@triton.jit
def softmax_backward_row(y, gradient, out, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    """``y * (gradient - sum(y * gradient))``, for rows of any length."""
    start = tl.program_id(0).to(tl.int64) * num_columns
    if DOUBLE:
        total = tl.zeros([BLOCK], tl.float64)
    else:
        total = tl.zeros([BLOCK], tl.float32)
    for first in range(0, num_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < num_columns
        a = tl.load(y + start + columns, mask=inside, other=0.0).to(total.dtype)
        total += a * tl.load(gradient + start + columns, mask=inside, other=0.0).to(total.dtype)
    mean = tl.sum(total, axis=0)
    for first in range(0, num_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = columns < num_columns
        a = tl.load(y + start + columns, mask=inside, other=0.0).to(total.dtype)
        b = tl.load(gradient + start + columns, mask=inside, other=0.0).to(total.dtype)
        tl.store(out + start + columns, (a * (b - mean)).to(out.dtype.element_ty), mask=inside)


@triton.jit
def cross_entropy_row(x, targets, losses, log_sums, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    """The loss of a row, its maximum, and the logarithm of its sum of ``exp(x - maximum)``: the row is read once.

    These two are kept apart: beside a large maximum the logarithm would lose its digits, and the gradient with it.
    """
    row = tl.program_id(0).to(tl.int64)
    m, d = row_state(x, row * num_columns, num_columns, BLOCK, DOUBLE)
    logit = tl.load(x + row * num_columns + tl.load(targets + row)).to(d.dtype)
    tl.store(log_sums + row, m)
    tl.store(log_sums + tl.num_programs(0) + row, tl.log(d))
    tl.store(losses + row, tl.log(d) - (logit - m))  # m first: large logits would cancel


@triton.jit
def cross_entropy_backward_row(
    x, targets, log_sums, gradient, out, num_columns, BLOCK: tl.constexpr, DOUBLE: tl.constexpr
):
    """``(exp(x - maximum - log_sum) - [column is the target]) * gradient``; out may be x."""
    row, first = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK
    columns = first + tl.arange(0, BLOCK)
    inside = columns < num_columns
    values = wide_load(x, row * num_columns + columns, inside, DOUBLE)
    m, log_d = tl.load(log_sums + row), tl.load(log_sums + tl.num_programs(0) + row)
    values = tl.exp((values - m) - log_d) - tl.where(columns == tl.load(targets + row), 1.0, 0.0)
    values *= tl.load(gradient + row).to(values.dtype)
    tl.store(out + row * num_columns + columns, values.to(out.dtype.element_ty), mask=inside)
