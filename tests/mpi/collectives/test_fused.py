"""Sums written into all vectors in one pass, and scratch arrays that come back."""

import gc
import sys
import threading

import numpy as np
import pytest
from mpi4py import MPI

from labkit.mpi.collectives import scratch as store
from labkit.mpi.collectives.fused import sum_into_all


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


def kept():
    """The memories that wait to be lent again."""
    gc.collect()
    return [memory for memories in store._free.values() for memory in memories]


def test_large_scratch_comes_back_and_small_is_ordinary():
    store._free.clear()
    first = store.scratch(10**6, np.float64)
    address = first.ctypes.data
    part = first[10:20]
    del first
    assert kept() == []  # a slice is still in use
    part[:] = 1
    del part
    assert len(kept()) == 1
    again = store.scratch(9 * 10**5, np.float64)
    assert again.ctypes.data == address and again.size == 9 * 10**5
    other = store.scratch(9 * 10**5, np.float64)
    assert not np.shares_memory(again, other)
    small = store.scratch(10, np.int32)
    del small
    assert kept() == []


def test_the_store_is_bounded():
    store._free.clear()
    arrays = [store.scratch(store.KEPT_BYTES // 4, np.uint8) for _ in range(8)]
    del arrays
    assert 0 < sum(memory.nbytes for memory in kept()) <= store.KEPT_BYTES
    huge = store.scratch(store.KEPT_BYTES + 1, np.uint8)
    del huge
    assert sum(memory.nbytes for memory in kept()) <= store.KEPT_BYTES
    store._free.clear()


def test_a_store_that_is_full_of_other_sizes_makes_room():
    store._free.clear()
    others = [store.scratch(store.KEPT_BYTES // 4, np.uint8) for _ in range(4)]
    del others
    array = store.scratch(store.SMALL_BYTES, np.uint8)
    del array
    assert [memory.nbytes for memory in kept()] == [store.SMALL_BYTES]
    store._free.clear()


def test_threads_share_the_store():
    store._free.clear()
    others, problems = set(store._loans), []

    def work(number):
        random = np.random.default_rng(number)
        for size in random.integers(store.SMALL_BYTES, 8 * store.SMALL_BYTES, 400).tolist():
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
    addresses = [MPI.Get_address(memory) for memory in kept()]
    assert addresses and len(addresses) == len(set(addresses)) and set(store._loans) <= others
    store._free.clear()


def test_scratch_begins_a_cache_line():
    for size in (store.SMALL_BYTES, store.SMALL_BYTES + 1, 3 * 10**6):
        assert MPI.Get_address(store.scratch(size, np.uint8)) % 64 == 0


def test_a_copy_is_a_copy():
    original = np.arange(100_000.0)
    copy = store.scratch_copy(original)
    copy[0] = -1
    assert original[0] == 0 and np.array_equal(copy[1:], original[1:])
    assert store.scratch_like(original).shape == original.shape
