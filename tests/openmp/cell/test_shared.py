"""Arrays in shared memory."""

import mmap
import os

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.cell.shared import block_of, shared_array


def test_what_is_written_to_the_file_is_seen_in_the_array():
    x = shared_array((3, 4), np.int32)
    assert x.shape == (3, 4) and x.dtype == np.int32 and not x.any() and type(x) is np.ndarray
    block, offset = block_of(x)
    with mmap.mmap(block.fd, 0) as other:  # as another process would
        np.frombuffer(other, np.int32)[5] = 7
        assert x[1, 1] == 7 and offset == 0
        x[2, 3] = 9
        assert np.frombuffer(other, np.int32)[11] == 9


def test_parts_of_a_shared_array_are_found_in_it():
    x = shared_array(100)
    assert block_of(x[10:20])[1] == 80
    assert block_of(x.reshape(10, 10)[3])[1] == 240
    assert block_of(x.view(np.int64)[1:])[1] == 8
    assert block_of(np.asarray(memoryview(x))[2:])[1] == 16
    assert block_of(x[10:][5:])[0] is block_of(x)[0]
    assert block_of(x + 1) is None and block_of(np.zeros(3)) is None and block_of(x.copy()) is None


def test_the_file_is_closed_with_the_last_array():
    x = shared_array(10)
    fd = block_of(x)[0].fd
    part = x[3:]
    del x
    os.fstat(fd)
    part[0] = 1
    del part
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("shape", [0, (0, 5), (), 1, (2, 3, 4), np.int64(5)])
def test_shapes(shape):
    assert shared_array(shape).shape == np.zeros(shape).shape


@pytest.mark.parametrize(
    ("shape", "dtype", "word"),
    [(-1, float, "0 or more"), ((3, -2), float, "0 or more"), (2**60, float, "bytes"), ("many", float, "no shape"),
     (3, "what", "no shape and dtype"), (3, object, "Python objects"), (2**45, np.int8, "this machine has"),
     (2.5, float, "no shape"),
     ((2, 2.5), float, "no shape")],
)  # fmt: skip
def test_what_cannot_be(shape, dtype, word):
    with pytest.raises(UsageError, match=word):
        shared_array(shape, dtype)
