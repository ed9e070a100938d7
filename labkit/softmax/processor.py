"""What softmax says to the processor: order of floats as integers, and stores that pass by the caches.

A store into memory that is not in a cache reads the line first, which nobody needs when the whole line is written.
A *streaming* (nontemporal) store does not: writing a large result then moves half as many bytes.

Importing this module imports Numba.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from labkit.softmax.compiled import kernel
from labkit.softmax.exp import I, bits_of, float_of

LINE = 64  # bytes: a cache line, and a vector register of AVX-512


def order_key(x):
    """The bits of a float as an integer with the floats' order: negative NaN < -inf < ... < inf < positive NaN."""
    raise NotImplementedError("for compiled code")


def from_key(key):
    """The float of an order key."""
    raise NotImplementedError("for compiled code")


@overload(order_key, jit_options={"forceinline": True})
def _order_key(x):
    if x == types.float32:
        return lambda x: I(bits_of(x) ^ ((bits_of(x) >> I(31)) & I(0x7FFFFFFF)))
    return lambda x: bits_of(x) ^ ((bits_of(x) >> 63) & 0x7FFFFFFFFFFFFFFF)


@overload(from_key, jit_options={"forceinline": True})
def _from_key(key):
    if key == types.int32:
        return lambda key: float_of(I(key ^ ((key >> I(31)) & I(0x7FFFFFFF))))
    return lambda key: float_of(key ^ ((key >> 63) & 0x7FFFFFFFFFFFFFFF))


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
