"""What needs real ranks of one node: shared memory, communicators of nodes; and what real MPI does with mismatches."""

import time

import numpy as np
import torch
from cases import OPERATIONS, Room, combined, data, refused, sizes
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.torch import communicator
from labkit.mpi.collectives.allgather import allgather_shared_memory
from labkit.mpi.collectives.allreduce_nodes import (
    SharedVectors,
    allreduce_hierarchical,
    allreduce_shared_memory,
    node_communicators,
)
from labkit.mpi.collectives.broadcast import broadcast_shared_memory
from labkit.mpi.collectives.registry import find
from labkit.mpi.collectives.shared_vectors import HALF_BYTES, ROOM_BYTES, room_of


def check_shared_memory(comm):
    for n in (*sizes(comm), 100_003):
        for name, (op, definition, dtypes, span) in OPERATIONS.items():
            if n > 1000 and name not in ("SUM", "affine"):
                continue
            dtype = dtypes[n % len(dtypes)]
            shared = SharedVectors(comm, n, dtype) if name in ("SUM", "affine", "LAND") else None
            vectors = [data(rank, n, dtype, *span) for rank in range(comm.size)]
            for repeat in range(3 if shared else 1):
                in_place = repeat == 1
                room = Room(n, dtype, vectors[comm.rank] if in_place else None)
                sendbuf = MPI.IN_PLACE if in_place else vectors[comm.rank]
                allreduce_shared_memory(comm, sendbuf, room.array, op=op, shared=shared)
                room.check(combined(definition, vectors), (name, n, repeat))
            if shared:
                shared.own[...] = vectors[comm.rank]
                shared.allreduce(op)
                assert shared.own.tobytes() == combined(definition, vectors).tobytes()
                shared.free()


def check_longer_vectors_than_the_room_pass_in_pieces(comm):
    for dtype, extra in (("f8", 3), ("i4", 0), ("c16", -1)):
        n = 2 * ROOM_BYTES // np.dtype(dtype).itemsize + extra
        for op, definition in ((MPI.SUM, np.add), (MPI.PROD, np.multiply)):
            vectors = [data(rank, n, dtype, 0, 4) for rank in range(comm.size)]
            room = Room(n, dtype)
            allreduce_shared_memory(comm, vectors[comm.rank], room.array, op=op)
            room.check(combined(definition, vectors), (dtype, n))


def check_longer_blocks_than_half_the_room_pass_in_pieces(comm):
    for dtype, extra in (("f8", 3), ("u1", -1), ("c16", 0)):
        n = HALF_BYTES // np.dtype(dtype).itemsize
        counts = [(n + extra, 5, 2 * n + 1)[rank % 3] for rank in range(comm.size)]
        blocks = [data(rank, count, dtype) for rank, count in enumerate(counts)]
        room = Room(sum(counts), dtype)
        allgather_shared_memory(comm, blocks[comm.rank], room.array, counts=counts)
        room.check(np.concatenate(blocks), (dtype, counts))
        root = comm.size - 1
        whole = data(root, 2 * n + extra, dtype)
        room = Room(whole.size, dtype, whole if comm.rank == root else None)
        broadcast_shared_memory(comm, room.array, root=root)
        room.check(whole, dtype)


def check_slow_readers_are_not_overtaken(comm):
    """Calls of all kinds in any order; a rank that comes late from a meeting still finds what it is to read."""
    sub = comm.Dup()
    shared = room_of(sub, "check").shared
    meet, sleep = shared.meet, np.random.default_rng([comm.rank, 1])

    def meet_and_dawdle(comm):
        meet(comm)
        if sleep.random() < 0.3:
            time.sleep(2e-3 * sleep.random())

    shared.meet = meet_and_dawdle
    same = np.random.default_rng(2)  # on all ranks
    for step in range(150):
        kind, n, root = same.integers(3), int(same.integers(1, 2000)), int(same.integers(comm.size))
        vectors = [data(rank + 10 * step, n, "i8") for rank in range(comm.size)]
        mine = vectors[comm.rank].copy()
        if kind == 0:
            allreduce_shared_memory(sub, MPI.IN_PLACE, mine)
            expected = combined(np.add, vectors)
        elif kind == 1:
            mine = np.zeros(n * comm.size, "i8")
            allgather_shared_memory(sub, vectors[comm.rank], mine)
            expected = np.concatenate(vectors)
        else:
            broadcast_shared_memory(sub, mine, root=root)
            expected = vectors[root]
        assert np.array_equal(mine, expected), (step, kind, n, root)
    sub.Free()


def check_calls_that_differ_leave_the_room_in_order(comm):
    """Some ranks broadcast and some all-reduce: all are told, and the next calls bring what they should."""
    if comm.size == 1:
        return
    sub = comm.Dup()

    def broadcast(value):
        x = np.full(4, value if comm.rank == 0 else -1.0)
        broadcast_shared_memory(sub, x)
        return x.tolist()

    fives = np.full(4, 5.0)
    refused(lambda: broadcast(7.0) if comm.rank == 0 else allreduce_shared_memory(sub, MPI.IN_PLACE, fives), "the ranks ")
    assert [broadcast(value) for value in (1.0, 2.0, 3.0)] == [[1.0] * 4, [2.0] * 4, [3.0] * 4]
    x = np.full(4, comm.rank + 1.0)
    allreduce_shared_memory(sub, MPI.IN_PLACE, x)
    assert x.tolist() == [comm.size * (comm.size + 1) / 2] * 4
    sub.Free()


def check_names_of_one_type_are_equal(comm):
    for one, other in (("l", "q"), ("L", "Q")):
        x = np.full(3, comm.rank + 5, other if comm.rank else one)
        broadcast_shared_memory(comm, x)
        assert x.tolist() == [5, 5, 5]
        allreduce_shared_memory(comm, MPI.IN_PLACE, x)
        assert x.tolist() == [5 * comm.size] * 3


def check_the_room_is_kept_with_its_communicator(comm):
    one, other = comm.Dup(), comm.Split(comm.rank % 2, -comm.rank)
    rooms = [room_of(one, "check"), room_of(other, "check")]
    for sub, room in zip((one, other), rooms, strict=True):
        for n in (10, 1000, 10):
            x = np.arange(n) + 1.0
            allreduce_shared_memory(sub, MPI.IN_PLACE, x)
            assert np.array_equal(x, (np.arange(n) + 1.0) * sub.size)
        assert room_of(sub, "check") is room
    copy = one.Dup()
    assert rooms[0] is not rooms[1] and room_of(copy, "check") is not rooms[0]
    copy.Free()
    for sub, room in zip((one, other), rooms, strict=True):
        sub.Free()
        assert room.shared.own is None, "the memory was not given back with the communicator"


def check_ranks_that_bring_something_else_are_named(comm):
    sub = comm.Dup()
    for mine, told in (
        (np.ones(3 + comm.rank % 2), "3 elements of float64, 4 elements of float64"),
        (np.ones(3, "f4" if comm.rank % 2 else "f8"), "3 elements of float64, 3 elements of float32"),
        (np.ones((ROOM_BYTES if comm.rank % 2 else 1) + 1, "u1"), f"2 elements of uint8, {ROOM_BYTES + 1} elements of uint8"),
    ):
        before = mine.copy()
        if comm.size > 1:
            refused(lambda mine=mine: allreduce_shared_memory(sub, MPI.IN_PLACE, mine), f"rank {comm.rank} of", told)
            assert np.array_equal(mine, before), "the data were lost"
        x = np.ones(5)
        allreduce_shared_memory(sub, MPI.IN_PLACE, x)
        assert x.tolist() == [comm.size] * 5, "the room is unusable after a mistake"
    odd = comm.rank == comm.size - 1
    for call, told in (
        (lambda x: broadcast_shared_memory(sub, x, root=int(odd)), ("broadcast_shared_memory", "6 elements of float64", "root")),
        (lambda x: broadcast_shared_memory(sub, x[: 6 - odd]), ("6 elements of float64", "5 elements of float64")),
        (lambda x: broadcast_shared_memory(sub, x.view("i8") if odd else x), ("6 elements of float64, ", "6 elements of int64")),
        (
            lambda x: allgather_shared_memory(sub, MPI.IN_PLACE, x, counts=[6 - odd, int(odd)] + [0] * (comm.size - 2)),
            ("allgather_shared_memory", "different blocks", "counts"),
        ),
    ):
        mine = np.arange(6.0) + comm.rank
        if comm.size > 1:
            refused(lambda call=call, mine=mine: call(mine), f"rank {comm.rank} of", *told)
            assert np.array_equal(mine, np.arange(6.0) + comm.rank), "the data were lost"
        x = np.full(3, float(comm.rank))
        broadcast_shared_memory(sub, x, root=comm.size - 1)
        assert x.tolist() == [comm.size - 1] * 3, "the room is unusable after a mistake"
    sub.Free()


def check_shared_memory_is_bitwise_equal_and_in_rank_order(comm):
    shared = SharedVectors(comm, 1001)
    for repeat in range(5):
        vectors = [np.random.default_rng([rank, repeat]).standard_normal(1001) * 10.0 ** (rank * 5) for rank in range(comm.size)]
        shared.own[...] = vectors[comm.rank]
        shared.allreduce()
        assert shared.own.tobytes() == combined(np.add, vectors).tobytes()
        comm.Barrier()
    shared.free()


def check_shared_memory_refuses(comm):
    refused(lambda: SharedVectors(comm, -1), "num_elements", "-1")
    refused(lambda: SharedVectors(comm, 2.0), "num_elements", "2.0")
    refused(lambda: SharedVectors(comm, 2, "O"), "object")
    refused(lambda: SharedVectors(comm, 2, "f2"), "float16")
    if comm.size > 1:
        refused(lambda: SharedVectors(comm, 2 + comm.rank), "the ranks ask for")
    shared = SharedVectors(comm, 4)
    for recv in (np.ones(5), np.ones(4, "i8")):
        refused(lambda recv=recv: allreduce_shared_memory(comm, MPI.IN_PLACE, recv, shared=shared), "shared", "Make a SharedVectors")
    refused(lambda: shared.allreduce(MPI.BAND), "MPI.BAND", "float64")
    refused(lambda: allreduce_shared_memory(comm, [1.0], np.ones(1)), "list")
    tensors = communicator(comm)
    for call in (broadcast_shared_memory, lambda c, x: allreduce_shared_memory(c, MPI.IN_PLACE, x)):
        for dtype in (torch.float32, torch.bfloat16):
            refused(lambda call=call, dtype=dtype: call(tensors, torch.ones(3, dtype=dtype)), "TensorComm", "sends messages")
    shared.free()


def check_hierarchical_by_nodes(comm):
    for ranks_per_node in (None, 1, 2, 3):
        communicators = node_communicators(comm, ranks_per_node)
        for n in (0, 1, comm.size + 1, 1000):
            vectors = [data(rank, n, "f8") for rank in range(comm.size)]
            for kept in (False, True):
                options = dict(zip(("node_comm", "leader_comm"), communicators, strict=True)) if kept else {}
                room = Room(n, "f8")
                allreduce_hierarchical(comm, vectors[comm.rank], room.array, ranks_per_node=ranks_per_node, **options)
                room.check(combined(np.add, vectors), (ranks_per_node, n, kept))
        for one in communicators:
            if one != MPI.COMM_NULL:
                one.Free()


def check_a_message_of_another_size_is_an_error(comm):
    """Rank 1 passes fewer elements, or more: rank 0 is told who, what and how much."""
    if comm.size != 2:
        return
    for n, error_class in ((3, MPI.ERR_COUNT), (5, MPI.ERR_TRUNCATE)):
        # (algorithm, rank that passes n instead of 4, elements a unit, rank that must get this error)
        for name, odd, unit, judge in (
            ("allreduce_recursive_doubling", 1, 1, 0), ("alltoall_linear", 1, 2, 0), ("broadcast_chain", 0, 1, 1),
            ("scan_linear", 0, 1, 1),
        ):
            sub = comm.Dup()  # given up after the mistake
            mine = np.ones(unit * (n if comm.rank == odd else 4))
            arguments = [mine] if "broadcast" in name else [MPI.IN_PLACE, mine]
            told = None
            try:
                find(name).function(sub, *arguments)
            except MPIError as error:
                told = error
                expected = (f"rank {comm.rank} of 2", name, "bytes", "all ranks pass")
                assert all(word in str(error) for word in expected), str(error)
            assert comm.rank != judge or told is not None, f"{name}: nobody noticed"
            assert comm.rank != judge or told.Get_error_class() == error_class, str(told)
            sub.Free()
