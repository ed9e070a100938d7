"""Asking for memory before it is needed.

A processor notices a stream of loads by itself. What it does not know is that a block which is passed over twice will
be followed by another: during the second pass over a block in the cache nothing is loaded, and the next block's first
pass would wait for memory.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

BYTES = ir.IntType(8).as_pointer()
LINE_BYTES = 64  # of a cache; where lines are longer, some are asked for twice


@intrinsic
def prefetch(typing_context, address):
    """Ask for the cache line at an address, an integer. It may lie beyond an array: nothing is read."""
    def generate(context, builder, signature, arguments):
        emit_prefetch(builder, builder.inttoptr(arguments[0], BYTES))
        return context.get_dummy_value()

    return types.void(types.intp), generate


@njit(inline="always")
def prefetch_lines(address, num_bytes):
    """Ask for all lines from an address on; both are best multiples of a line."""
    for offset in range(0, num_bytes, LINE_BYTES):
        prefetch(address + offset)


def emit_prefetch(builder, pointer) -> None:
    """The instruction itself, for other intrinsics; the pointer may be one to any type."""
    word = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [BYTES, word, word, word])
    function = builder.module.declare_intrinsic("llvm.prefetch", [BYTES], kind)
    to_read, to_keep, data = word(0), word(3), word(1)
    builder.call(function, [builder.bitcast(pointer, BYTES), to_read, to_keep, data])
