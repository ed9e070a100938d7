"""Sums written into all vectors in one pass, and scratch arrays that come back."""

import ctypes
import sys
import threading

import numpy as np
import pytest
import torch
from mpi4py import MPI

from labkit.mpi.collectives import scratch as store
from labkit.mpi.collectives.fused import PIECE, sum_into_all, to_and_fro


@pytest.mark.parametrize("num_vectors", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [0, 1, 7, 20_001])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32])
def test_every_vector_is_the_sum_from_left_to_right(num_vectors, size, dtype):
    rng = np.random.default_rng(num_vectors)
    vectors = [(rng.standard_normal(size) * 10.0 ** rng.integers(-3, 4, size)).astype(dtype) for _ in range(num_vectors)]
    expected = vectors[0].copy()
    for vector in vectors[1:]:
        expected = expected + vector
    sum_into_all(vectors)
    for vector in vectors:
        assert vector.dtype == dtype and vector.tobytes() == expected.tobytes()


@pytest.mark.parametrize("num_vectors", [2, 3, 4, 5])
def test_to_and_fro_is_the_same_sum(num_vectors):
    rng = np.random.default_rng(num_vectors)
    originals = [rng.standard_normal(3 * PIECE + 5) for _ in range(num_vectors)]
    expected = [original.copy() for original in originals]
    sum_into_all(expected)
    vectors = [np.empty_like(original) for original in originals]
    for way in (*to_and_fro(vectors), lambda: sum_into_all(vectors, backwards=True)):
        for vector, original in zip(vectors, originals, strict=True):
            vector[:] = original
        way()
        assert [v.tobytes() for v in vectors] == [e.tobytes() for e in expected]


def test_the_way_back_begins_at_the_end():
    """Seen by vectors that share memory: what one piece writes, the next one reads."""
    for backwards, first in ((False, [2.0, 3.0, 4.0]), (True, [4.0, 4.0, 3.0])):
        memory = np.ones(4 * PIECE)
        sum_into_all([memory[: 3 * PIECE], memory[PIECE:]], backwards=backwards)
        assert memory[: 3 * PIECE : PIECE].tolist() == first


@pytest.fixture(autouse=True)
def an_empty_store():
    store._kept.clear()
    yield
    store._kept.clear()


def kept_bytes():
    return sum(array.nbytes for arrays in store._kept.values() for array in arrays)


def test_large_scratch_comes_back_and_small_is_ordinary():
    first = store.scratch(10**6, np.float64)
    address = first.ctypes.data
    part = first[10:20].reshape(2, 5).T
    del first
    other = store.scratch(10**6, np.float64)
    assert not np.shares_memory(part, other)  # a slice is still in use
    del part
    again = store.scratch(10**6, np.float64)
    assert again.ctypes.data == address and again.size == 10**6
    assert not np.shares_memory(again, other)
    bytes_before = kept_bytes()
    small = store.scratch(10, np.int32)
    assert small.size == 10 and kept_bytes() == bytes_before


@pytest.mark.parametrize("holder", [memoryview, lambda array: [array], lambda array: torch.from_numpy(array), iter])
def test_whatever_holds_an_array_keeps_its_memory(holder):
    array = store.scratch(10**5, np.float64)
    address = array.ctypes.data
    held = holder(array)
    del array
    assert store.scratch(10**5, np.float64).ctypes.data != address
    del held
    arrays = [store.scratch(10**5, np.float64) for _ in range(3)]
    assert address in [array.ctypes.data for array in arrays]


def test_a_message_on_its_way_keeps_its_memory():
    address = store.scratch(10**5, np.float64).ctypes.data
    request = MPI.COMM_SELF.Irecv(store.scratch(10**5, np.float64), 0, 5)
    for _ in range(3):
        store.scratch(10**5, np.float64)[:] = -1
    MPI.COMM_SELF.Send(np.ones(10**5), 0, 5)
    request.Wait()
    assert np.ctypeslib.as_array((ctypes.c_double * 10**5).from_address(address)).tolist() == [1.0] * 10**5


def test_the_store_is_bounded():
    arrays = [store.scratch(store.KEPT_BYTES // 4, np.uint8) for _ in range(8)]
    assert 0 < kept_bytes() <= store.KEPT_BYTES
    assert len({array.ctypes.data for array in arrays}) == 8
    del arrays
    huge = store.scratch(store.KEPT_BYTES + 1, np.uint8)
    del huge
    assert kept_bytes() <= store.KEPT_BYTES


def test_a_store_that_is_full_of_other_sizes_makes_room():
    others = [store.scratch(store.KEPT_BYTES // 4, np.uint8) for _ in range(4)]
    del others
    address = store.scratch(store.SMALL_BYTES, np.uint8).ctypes.data
    assert kept_bytes() == store.SMALL_BYTES
    assert store.scratch(store.SMALL_BYTES, np.uint8).ctypes.data == address


def test_threads_share_the_store():
    problems = []

    def work(number):
        random = np.random.default_rng(number)
        for size in (store.SMALL_BYTES * random.integers(1, 4, 400)).tolist():
            array = store.scratch(size, np.uint8)
            array[:] = number
            array[::4096] += 0  # give the others time to write into it, if they have it too
            if array.size != size or set(array[::1024].tolist()) != {number}:
                problems.append((number, size))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert problems == [] and not any(thread.is_alive() for thread in threads)
    addresses = [MPI.Get_address(array) for arrays in store._kept.values() for array in arrays]
    assert addresses and len(addresses) == len(set(addresses))


def test_scratch_begins_a_cache_line():
    for size in (store.SMALL_BYTES, store.SMALL_BYTES + 1, 3 * 10**6):
        assert MPI.Get_address(store.scratch(size, np.uint8)) % 64 == 0


def test_a_copy_is_a_copy():
    original = np.arange(100_000.0)
    copy = store.scratch_copy(original)
    copy[0] = -1
    assert original[0] == 0 and np.array_equal(copy[1:], original[1:])
    assert store.scratch_like(original).shape == original.shape
