"""Compiled loops of compensated sums and dot products in lanes.

A compensated sum waits for its own last addition; 32 of them side by side do not wait for each other, and fill vector
registers. What ``one`` is for, see :mod:`.exact_kernels`.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from labkit.floating_point.summation.kernels import two_sum
from labkit.openmp.prefetch import LINE_BYTES, emit_prefetch, prefetch_lines

NUM_LANES = 32
ROWS = 4 * NUM_LANES
BYTES_AHEAD = 4096  # with 7 flops a term between two loads, a processor by itself does not look far enough ahead


@intrinsic
def fused_multiply_add(typing_context, a, b, c):
    """``a * b + c``, rounded once: an instruction, or where the processor has none, a call of the C library."""
    if not (a == b == c and isinstance(a, types.Float)):
        return None

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        function = builder.module.declare_intrinsic("llvm.fma", [kind], ir.FunctionType(kind, [kind] * 3))
        return builder.call(function, arguments)

    return a(a, b, c), generate


@njit(inline="always")
def two_product(a, b):
    """The rounded product and its error, exactly unless it underflows or overflows: 2 flops."""
    product = a * b
    return product, fused_multiply_add(a, b, -product)


@njit(inline="always")
def add(term, one, total, errors):
    """One step of Sum2; the products change nothing."""
    new = total * one + term
    part = new - total
    return new, errors * one + ((total - (new - part)) * one + (term - part))


@njit(inline="always")
def add_product(a, b, one, total, errors):
    """One step of Dot2."""
    product, error = two_product(a, b)
    total, errors = add(product, one, total, errors)
    return total, errors + error


@intrinsic
def _add_rows(typing_context, x, one, totals, errors):
    """The loop of :func:`add_rows`, with all lanes of a row as one vector: LLVM cuts it into those of the machine.

    Left to itself, LLVM keeps the accumulators in memory, for all it knows they might lie among the terms, and uses
    half of the widest registers.
    """

    def generate(context, builder, signature, arguments):
        element = context.get_value_type(signature.args[1])
        lanes = ir.VectorType(element, NUM_LANES)
        arrays = [make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 2, 3)]
        data, totals, errors = (array.data for array in arrays)
        num_terms = builder.extract_value(arrays[0].shape, 0)
        ones = builder.insert_element(ir.Constant(lanes, ir.Undefined), arguments[1], ir.IntType(32)(0))
        ones = builder.shuffle_vector(ones, ones, ir.Constant(ir.VectorType(ir.IntType(32), NUM_LANES), [0] * NUM_LANES))
        name = f"llvm.fmuladd.v{NUM_LANES}{element.intrinsic_name}"
        fused = cgutils.get_or_insert_function(builder.module, ir.FunctionType(lanes, [lanes] * 3), name)
        width = signature.args[1].bitwidth // 8

        def load(pointer):
            return builder.load(builder.bitcast(pointer, lanes.as_pointer()), align=width)

        def plus(a, b):
            return builder.call(fused, [a, ones, b])  # a + b, in a unit that multiplies

        total, error = (cgutils.alloca_once_value(builder, load(pointer)) for pointer in (totals, errors))
        with cgutils.for_range_slice(builder, num_terms.type(0), num_terms, num_terms.type(ROWS)) as (first, _):
            for line in range(ROWS * width // LINE_BYTES):
                ahead = builder.add(first, first.type((BYTES_AHEAD + LINE_BYTES * line) // width))
                emit_prefetch(builder, builder.gep(data, [ahead]))
            for row in range(ROWS // NUM_LANES):
                term = load(builder.gep(data, [builder.add(first, first.type(NUM_LANES * row))]))
                old = builder.load(total)
                new = plus(old, term)
                part = builder.fsub(new, old)
                lost = plus(builder.fsub(old, builder.fsub(new, part)), builder.fsub(term, part))
                builder.store(new, total)
                builder.store(plus(builder.load(error), lost), error)
        for pointer, lane in ((totals, total), (errors, error)):
            builder.store(builder.load(lane), builder.bitcast(pointer, lanes.as_pointer()), align=width)
        return context.get_dummy_value()

    return types.void(x, one, totals, errors), generate


@njit(cache=True, nogil=True)
def add_rows(x, one, totals, errors):
    """Add a multiple of ROWS terms to lanes of Sum2."""
    _add_rows(x, one, totals, errors)


@njit(cache=True, nogil=True)
def add_product_rows(x, y, one, totals, errors):
    """Add a multiple of NUM_LANES products to lanes of Dot2. Not fused: a product must be rounded for its error."""
    x_ahead, y_ahead, width = x.ctypes.data + BYTES_AHEAD, y.ctypes.data + BYTES_AHEAD, x.itemsize
    for i in range(0, x.size, NUM_LANES):
        prefetch_lines(x_ahead + width * i, width * NUM_LANES)
        prefetch_lines(y_ahead + width * i, width * NUM_LANES)
        row, other = x[i : i + NUM_LANES], y[i : i + NUM_LANES]
        for j in range(NUM_LANES):
            totals[j], errors[j] = add_product(row[j], other[j], one, totals[j], errors[j])


@njit(cache=True, nogil=True)
def combine(totals, errors):
    """The sum of twofold numbers, twofold."""
    total, error = totals[0], errors[0]
    for j in range(1, totals.size):
        total, rest = two_sum(total, totals[j])
        error += rest + errors[j]
    return total, error


@njit(cache=True, nogil=True)
def twofold_in_lanes(x, one):
    totals, errors = np.zeros(NUM_LANES, x.dtype), np.zeros(NUM_LANES, x.dtype)
    whole = x.size // ROWS * ROWS
    add_rows(x[:whole], one, totals, errors)
    for i in range(whole, x.size):
        totals[i % NUM_LANES], rest = two_sum(totals[i % NUM_LANES], x[i])
        errors[i % NUM_LANES] += rest
    return combine(totals, errors)


@njit(cache=True, nogil=True)
def dot_in_lanes(x, y, one):
    totals, errors = np.zeros(NUM_LANES, x.dtype), np.zeros(NUM_LANES, x.dtype)
    whole = x.size // NUM_LANES * NUM_LANES
    add_product_rows(x[:whole], y[:whole], one, totals, errors)
    for i in range(whole, x.size):
        j = i % NUM_LANES
        totals[j], errors[j] = add_product(x[i], y[i], one, totals[j], errors[j])
    return combine(totals, errors)


@njit(cache=True, nogil=True)
def sum_shares(start, stop, x, one, share_size, totals, errors):
    """Kernel of a team: a twofold sum for each share of the terms."""
    for share in range(start, stop):
        terms = x[share * share_size : (share + 1) * share_size]
        totals[share], errors[share] = twofold_in_lanes(terms, one)


@njit(cache=True, nogil=True)
def dot_shares(start, stop, x, y, one, share_size, totals, errors):
    for share in range(start, stop):
        first, last = share * share_size, (share + 1) * share_size
        totals[share], errors[share] = dot_in_lanes(x[first:last], y[first:last], one)


@njit(cache=True, nogil=True)
def plain_share(start, stop, x):
    """Kernel of a team: the plain sum of some iterations, for a reduction."""
    terms = x[start:stop]
    total = x.dtype.type(0)
    for i in range(terms.size):
        total += terms[i]
    return total
