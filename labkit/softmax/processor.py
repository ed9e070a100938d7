"""What softmax says to the processor: comparisons of floats as integers, the widest registers, what to load next, and
stores that pass by the caches.

A store into memory that is not in a cache reads the line first, which nobody needs when the whole line is written.
A *streaming* (nontemporal) store does not: writing a large result then moves half as many bytes.

Importing this module imports Numba.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np import arrayobj

from labkit.openmp.prefetch import prefetch_lines
from labkit.softmax.compiled import kernel
from labkit.softmax.exp import I, bits_of, float_of

LINE = 64  # bytes: a cache line, and a vector register of AVX-512


@intrinsic
def wide_registers(typing):
    """Have the loops of the function around this use the widest registers.

    For processors with AVX-512, LLVM prefers half of it, lest a short loop slow down the clock of a whole program.
    Where one function is inlined into another, the other's wish counts: so it stays a function of its own.
    """

    def codegen(context, builder, signature, values):
        attributes = builder.function.attributes
        attributes.add("noinline")
        set.add(attributes, '"prefer-vector-width"="512"')  # a name that llvmlite does not know; LLVM does
        return context.get_dummy_value()

    return types.void(), codegen


def unsigned_bits(x):
    """The bit pattern of a float as an unsigned integer of its width."""
    raise NotImplementedError("for compiled code")


def infinity_bits(x):
    """The bit pattern of infinity in the type of x."""
    raise NotImplementedError("for compiled code")


@overload(unsigned_bits, jit_options={"forceinline": True})
def _unsigned_bits(x):
    if x == types.float32:
        return lambda x: np.uint32(bits_of(x))
    return lambda x: np.uint64(bits_of(x))


@overload(infinity_bits, jit_options={"forceinline": True})
def _infinity_bits(x):
    if x == types.float32:
        return lambda x: I(0x7F800000)
    return lambda x: 0x7FF0000000000000


@kernel()
def largest_number(x):
    """The largest element of an array that is not empty, in one instruction a vector; where it is positive or 0, a NaN
    of negative sign is overlooked. Any other NaN gives NaN."""
    wide_registers()
    signed = bits_of(x[0])
    for i in range(x.size):
        signed = max(signed, bits_of(x[i]))
    infinity = infinity_bits(x[0])
    if signed >= 0:
        return float_of(signed) if signed <= infinity else x.dtype.type(np.nan)
    if signed > bits_of(-float_of(infinity)):
        return x.dtype.type(np.nan)
    low = unsigned_bits(x[0])
    for i in range(x.size):
        low = min(low, unsigned_bits(x[i]))
    return float_of(low)


@kernel()
def largest(x):
    """The largest element of an array that is not empty; NaN if there is a NaN.

    A maximum of floats is vectorised only with leave to ignore NaN, so bit patterns are compared. As integers,
    positive floats have the floats' order and negative ones the reverse: if any is positive, the largest is that of
    signed integers; else that of the smallest unsigned integer. A NaN is beyond infinity, of either sign.
    """
    wide_registers()
    signed = bits_of(x[0])
    low = high = unsigned_bits(x[0])
    for i in range(x.size):
        signed = max(signed, bits_of(x[i]))
        low, high = min(low, unsigned_bits(x[i])), max(high, unsigned_bits(x[i]))
    infinity = infinity_bits(x[0])
    if signed > infinity or high > unsigned_bits(-float_of(infinity)):
        return x.dtype.type(np.nan)
    return float_of(signed) if signed >= 0 else float_of(low)


@intrinsic
def _borrowed(typing, array, start, size):
    result = types.Array(array.dtype, 1, "C", readonly=not array.mutable)

    def codegen(context, builder, signature, values):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, values[0]).data
        view = arrayobj.make_array(result)(context, builder)
        bytes_each = context.get_constant(types.intp, array.dtype.bitwidth // 8)
        first = builder.gep(data, [values[1]])
        arrayobj.populate_array(
            view, data=first, shape=[values[2]], strides=[bytes_each], itemsize=bytes_each, meminfo=None
        )
        return view._getvalue()

    return result(array, types.intp, types.intp), codegen


@kernel(forceinline=True)
def part(array, start, size):
    """``array.reshape(-1)[start : start + size]`` of a contiguous array that outlives the result.

    A slice counts references to its array, with an atomic instruction for each: of a row of 256 numbers that was more
    than half the time.
    """
    return _borrowed(array, start, min(size, array.size - start))


@kernel(forceinline=True)
def row(array, i):
    """``array[i]`` of a contiguous array of two dimensions that outlives the result."""
    return _borrowed(array, i * array.shape[1], array.shape[1])


@intrinsic
def _stream_line(typing, target, source, index):
    """Copy the cache line at ``source[index]`` to ``target[index]``, which is the start of a line in memory."""

    def codegen(context, builder, signature, values):
        element = context.get_value_type(signature.args[0].dtype)
        width = LINE // (signature.args[0].dtype.bitwidth // 8)
        vector = ir.VectorType(element, width).as_pointer()
        arrays = (
            cgutils.create_struct_proxy(kind)(context, builder, value)
            for kind, value in zip(signature.args[:2], values[:2], strict=True)
        )
        to, of = (builder.bitcast(builder.gep(array.data, [values[2]]), vector) for array in arrays)
        line = builder.load(of, align=4)
        store = builder.store(line, to, align=LINE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(target, source, types.int64), codegen


@intrinsic
def _address(typing, array):
    def codegen(context, builder, signature, values):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(array), codegen


@kernel(forceinline=True)
def ask_for(x, start, size):
    """Ask for the lines of ``x[start : start + size]``, which may lie beyond the array: nothing is read."""
    prefetch_lines(_address(x) + x.itemsize * start, x.itemsize * size)


@intrinsic
def fence(typing):
    """Streaming stores before this are seen by all threads before anything after it."""

    def codegen(context, builder, signature, values):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@kernel()
def stream_block(source, target):
    """``target[:] = source`` for contiguous arrays of one length and type, past the caches."""
    size = LINE // source.itemsize
    first = min((-_address(target) % LINE) // source.itemsize, source.size)
    for i in range(first):
        target[i] = source[i]
    last = first + (source.size - first) // size * size
    for i in range(first, last, size):
        _stream_line(target, source, i)
    for i in range(last, source.size):
        target[i] = source[i]
