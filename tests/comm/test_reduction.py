"""Combining two vectors: the values, wherever in memory the vectors begin, and what else is written."""

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.reduction import LINE_BYTES, LONG_BYTES, reduce_local

AROUND = 0x5A  # of all bytes around a vector


def at(offset_bytes, numbers):
    """A copy of an array that begins so many bytes behind a cache line, and the memory that it is in."""
    memory = np.full(numbers.nbytes + 4 * LINE_BYTES, AROUND, np.uint8)
    start = LINE_BYTES + -MPI.Get_address(memory) % LINE_BYTES + offset_bytes
    array = memory[start : start + numbers.nbytes].view(numbers.dtype)
    array[:] = numbers
    return array, memory


def bytes_around(array, memory):
    start = MPI.Get_address(array) - MPI.Get_address(memory)
    return set(memory[:start].tolist() + memory[start + array.nbytes :].tolist())


def numbers(size, dtype, seed):
    whole = np.random.default_rng(seed).integers(1, 60, size)
    return whole.astype(dtype) if np.dtype(dtype).kind in "iub" else (whole / 8).astype(dtype)


@pytest.mark.parametrize("dtype", ["i1", "u2", "f4", "f8", "c16", "g"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 1000], ids="elements beyond a long vector: {}".format)
def test_values_do_not_depend_on_where_a_vector_begins(dtype, extra):
    size = LONG_BYTES // np.dtype(dtype).itemsize + extra
    a, b = numbers(size, dtype, 1), numbers(size, dtype, 2)
    expected = np.array([x + y for x, y in zip(a.tolist(), b.tolist(), strict=True)]).astype(dtype)
    for offset in range(0, LINE_BYTES, np.dtype(dtype).itemsize):
        left, around_left = at(0, a)
        right, around_right = at(offset, b)
        reduce_local(MPI.COMM_SELF, left, right, MPI.SUM)
        np.testing.assert_array_equal(right, expected, err_msg=f"offset {offset}")
        np.testing.assert_array_equal(left, a)
        assert bytes_around(left, around_left) == bytes_around(right, around_right) == {AROUND}
        room, around_room = at(offset, np.zeros_like(a))
        reduce_local(MPI.COMM_SELF, a, b, MPI.PROD, room)
        np.testing.assert_array_equal(room, np.multiply(a, b), err_msg=f"offset {offset}")
        assert bytes_around(room, around_room) == {AROUND}


ON_NUMBERS = (
    (MPI.SUM, lambda x, y: x + y), (MPI.PROD, lambda x, y: x * y), (MPI.MAX, max), (MPI.MIN, min),
    (MPI.LAND, lambda x, y: bool(x) and bool(y)), (MPI.LOR, lambda x, y: bool(x) or bool(y)),
    (MPI.LXOR, lambda x, y: bool(x) != bool(y)),
)
ON_BITS = ((MPI.BAND, lambda x, y: x & y), (MPI.BOR, lambda x, y: x | y), (MPI.BXOR, lambda x, y: x ^ y))


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_every_operation_into_either_operand(dtype, size):
    for number, (op, function) in enumerate(ON_NUMBERS if np.dtype(dtype).kind == "f" else ON_NUMBERS + ON_BITS):
        for x, y in ((0, 3), (2, 0), (7, 3), (0, 0)):
            left, right = np.full(size, x, dtype), np.full(size, y, dtype)
            wanted = np.full(size, function(left[:1].tolist()[0], right[:1].tolist()[0]) if size else 0).astype(dtype)
            for out in (None, 0, 1, 2):
                operands = left.copy(), right.copy(), np.full(size, 9).astype(dtype)
                reduce_local(MPI.COMM_SELF, *operands[:2], op, None if out is None else operands[out])
                result = operands[1 if out is None else out]
                np.testing.assert_array_equal(result, wanted, err_msg=f"operation {number} of {x} and {y}, out={out}", strict=True)


@pytest.mark.parametrize("size", [1, 2])
def test_bits_of_floating_point_numbers_are_refused(size):
    for op, _ in ON_BITS:
        with pytest.raises(TypeError, match="not supported"):
            reduce_local(MPI.COMM_SELF, np.ones(size), np.ones(size), op)


def test_vectors_that_begin_in_the_middle_of_a_number():
    a = numbers(LONG_BYTES // 8 + 5, "f8", 3)
    for offset in (1, 3, 7, 13):
        right, around = at(offset, a)
        reduce_local(MPI.COMM_SELF, a, right, MPI.MAX)
        np.testing.assert_array_equal(right, a)
        assert bytes_around(right, around) == {AROUND}


def test_left_is_left_and_right_is_right():
    """An operation that does not commute: its operands are not swapped, in a long vector either."""
    take_left = MPI.Op.Create(lambda left, right, _: memoryview(right).cast("B").__setitem__(slice(None), left), commute=False)
    try:
        for size in (3, LONG_BYTES // 8 + 3):
            left, right = numbers(size, "f8", 4), numbers(size, "f8", 5)
            wanted = left.copy()
            reduce_local(MPI.COMM_SELF, left, right, take_left)
            np.testing.assert_array_equal(right, wanted)
    finally:
        take_left.Free()


def test_a_long_vector_is_written_by_whole_lines(monkeypatch):
    """After at most one call for what stands before the first line, the writing begins a line."""
    from labkit.comm import reduction

    begins = []

    def add(left, right, *, out):
        begins.append((MPI.Get_address(out) % LINE_BYTES, out.size))
        np.add(left, right, out=out)

    monkeypatch.setitem(reduction._UFUNCS, MPI.SUM.handle, add)
    size = LONG_BYTES // 8
    for offset, calls in ((0, [(0, size)]), (8, [(8, 7), (0, size - 7)]), (56, [(56, 1), (0, size - 1)])):
        begins.clear()
        reduce_local(MPI.COMM_SELF, np.ones(size), at(offset, np.ones(size))[0], MPI.SUM)
        assert begins == calls
