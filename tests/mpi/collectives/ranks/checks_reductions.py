"""Reductions of all kinds, compared with NumPy's operations applied from left to right."""

import math

import numpy as np
from cases import (
    AFFINE,
    MATRICES,
    OPERATIONS,
    Room,
    affine,
    combined,
    counts_of,
    data,
    ends_of,
    matrices,
    roots,
    sizes,
    tensor,
)
from mpi4py import MPI

from labkit.mpi.collectives.registry import family

REDUCTIONS = ("reduce", "reduce_scatter", "allreduce", "scan", "exscan")


PIECES = {"allreduce_segmented_ring": "segment_bytes", "allreduce_chunked_ring": "chunk_bytes"}


def members(operation, op=MPI.SUM):
    """The algorithms of a family that can run here, with this operation."""
    return [a for a in family(operation) if not a.needs_shared_memory and (a.keeps_order or op.Is_commutative())]


def check_reduce(comm):
    for k, (n, root) in enumerate((n, root) for n in sizes(comm) for root in roots(comm)):
        names = list(OPERATIONS) if n == sizes(comm)[-2] and root == 0 else list(OPERATIONS)[k % len(OPERATIONS) :][:1]
        for name in dict.fromkeys([*names, "affine"]):
            op, definition, dtypes, span = OPERATIONS[name]
            vectors = [data(rank, n, dtypes[k % len(dtypes)], *span) for rank in range(comm.size)]
            expected = combined(definition, vectors)
            for algorithm in members("reduce", op):
                what = (algorithm.name, name, n, root)
                room = Room(n, expected.dtype)
                at_root = comm.rank == root
                algorithm.function(comm, vectors[comm.rank], room.array if at_root else None, op=op, root=root)
                room.check(expected if at_root else room.before[3:-3], what)
                room = Room(n, expected.dtype, vectors[comm.rank])
                sendbuf = MPI.IN_PLACE if at_root else vectors[comm.rank]
                algorithm.function(comm, sendbuf, room.array, op=op, root=root)
                room.check(expected if at_root else vectors[comm.rank], (*what, "in place"))


def check_allreduce(comm):
    _all_vectors(comm, "allreduce", lambda vectors, definition, rank: combined(definition, vectors))


def check_scan(comm):
    _all_vectors(comm, "scan", lambda vectors, definition, rank: combined(definition, vectors[: rank + 1]))


def check_exscan(comm):
    _all_vectors(comm, "exscan", lambda vectors, definition, rank: combined(definition, vectors[:rank]) if rank else None)


def _all_vectors(comm, operation, definition_of):
    for k, n in enumerate(sizes(comm)):
        for name, (op, definition, dtypes, span) in OPERATIONS.items():
            vectors = [data(rank, n, dtypes[k % len(dtypes)], *span) for rank in range(comm.size)]
            expected = definition_of(vectors, definition, comm.rank)
            for algorithm in members(operation, op):
                option = PIECES.get(algorithm.name)
                # Pieces of one element make thousands of messages: with few ranks only.
                options = {option: (1 if comm.size < 10 else 100, 24, 1 << 16)[k % 3]} if option else {}
                for in_place in (False, True):
                    room = Room(n, vectors[0].dtype, vectors[comm.rank] if in_place else None)
                    untouched = room.array.copy()
                    algorithm.function(
                        comm, MPI.IN_PLACE if in_place else vectors[comm.rank], room.array, op=op, **options
                    )
                    what = (algorithm.name, name, n, in_place)
                    room.check(untouched if expected is None else expected, what)


def check_reduce_scatter(comm):
    me, size = comm.rank, comm.size
    for k, name in enumerate(OPERATIONS):
        op, definition, dtypes, span = OPERATIONS[name]
        for counts in ([0] * size, [1] * size, [2] * size, *(counts_of(comm, seed) for seed in range(4))):
            ends = ends_of(counts)
            vectors = [data(rank, ends[-1], dtypes[k % len(dtypes)], *span) for rank in range(size)]
            total = combined(definition, vectors)
            expected = total[ends[me] : ends[me + 1]]
            options = {"counts": counts} if len(set(counts)) > 1 or k % 2 else {}
            for algorithm in members("reduce_scatter", op):
                room = Room(counts[me], total.dtype)
                algorithm.function(comm, vectors[me], room.array, op=op, **options)
                room.check(expected, (algorithm.name, name, counts))
                room = Room(ends[-1], total.dtype, vectors[me])
                algorithm.function(comm, MPI.IN_PLACE, room.array, op=op, **options)
                assert room.array[: counts[me]].tobytes() == expected.tobytes(), (algorithm.name, name, counts, "in place")
                room.check(room.array.copy(), algorithm.name)


def check_operands_of_several_elements_stay_together(comm):
    """Products of 2 x 2 matrices: an algorithm that does not cut vectors may combine four numbers at a time."""
    me, size = comm.rank, comm.size
    whole = ("reduce_flat", "reduce_binomial", "allreduce_reduce_broadcast", "allreduce_recursive_doubling")
    vectors = [data(rank, 12, "i8", 0, 251) for rank in range(size)]
    for operation in ("reduce", "allreduce", "scan", "exscan"):
        for algorithm in members(operation, MATRICES):
            if operation in ("reduce", "allreduce") and algorithm.name not in whole:
                continue
            for root in roots(comm) if operation == "reduce" else [0]:
                room = Room(12, "i8")
                options = {"root": root} if operation == "reduce" else {}
                algorithm.function(comm, vectors[me], room.array, op=MATRICES, **options)
                takes_part = vectors[: me + (operation == "scan")] if "scan" in operation else vectors
                if takes_part and (operation != "reduce" or me == root):
                    room.check(combined(matrices, takes_part), (algorithm.name, root))
    counts = [4 * (rank % 3) for rank in range(size)]
    ends = ends_of(counts)
    vectors = [data(rank, ends[-1], "i8", 0, 251) for rank in range(size)]
    for algorithm in members("reduce_scatter", MATRICES):
        room = Room(counts[me], "i8")
        algorithm.function(comm, vectors[me], room.array, op=MATRICES, counts=counts)
        if counts[me]:
            room.check(combined(matrices, vectors)[ends[me] : ends[me + 1]], algorithm.name)


def check_reductions_of_tensors_and_2d_arrays(comm):
    me, size = comm.rank, comm.size
    for dtype in ("i4", "i8", "u1", "f4", "f8", "c16"):
        vectors = [data(rank, 2 * size, dtype) for rank in range(size)]
        total = combined(np.add, vectors)
        for form in (tensor, lambda a: a.reshape(2, -1).copy()):
            for operation in REDUCTIONS:
                for algorithm in members(operation):
                    n = 2 if operation == "reduce_scatter" else 2 * size
                    room = form(np.zeros(n, dtype))
                    algorithm.function(comm, form(vectors[me]), room)
                    expected = {
                        "reduce": total if me == 0 else np.zeros(n, dtype), "allreduce": total,
                        "reduce_scatter": total[2 * me : 2 * me + 2], "scan": combined(np.add, vectors[: me + 1]),
                        "exscan": combined(np.add, vectors[:me]) if me else np.zeros(n, dtype),
                    }[operation]
                    assert np.asarray(room).tobytes() == expected.tobytes(), (algorithm.name, dtype)


def check_sums_are_as_accurate_as_any_order(comm):
    """|error| <= (p - 1) u / (1 - (p - 1) u) * sum |x|, for terms of very different size that nearly cancel."""
    size, n = comm.size, 40
    vectors = [wild(rank, n) for rank in range(size)]
    steps = (size - 1) * 2.0**-53
    for operation in ("reduce", "allreduce", "scan"):
        for algorithm in members(operation):
            result = np.zeros(n)
            algorithm.function(comm, vectors[comm.rank], result)
            if operation == "reduce" and comm.rank:
                continue
            terms = vectors[: comm.rank + 1] if operation == "scan" else vectors
            for k in range(n):
                exact = math.fsum(vector[k] for vector in terms)
                bound = steps / (1 - steps) * math.fsum(abs(vector[k]) for vector in terms)
                assert abs(result[k] - exact) <= bound * (1 + 1e-15), (algorithm.name, k)


def wild(rank: int, n: int) -> np.ndarray:
    """Numbers of magnitudes from 1e-300 to 1e300, with opposite ones on neighbouring ranks."""
    random = np.random.default_rng([rank // 2, n])
    x = random.standard_normal(n) * 10.0 ** random.integers(-12, 12, n)
    x[::7] *= 1e-300
    x[3::7] *= 1e280
    return (x if rank % 2 else -x) + np.random.default_rng(rank).standard_normal(n)


def check_allreduces_are_bitwise_equal_on_all_ranks(comm):
    for n in (1, 7, 40, comm.size):
        for dtype in ("f8", "f4"):
            with np.errstate(over="ignore"):
                mine = np.clip(wild(comm.rank, n), -1e37, 1e37).astype(dtype)
            for algorithm in members("allreduce"):
                for op in (MPI.SUM, MPI.PROD) if dtype == "f8" and n < 40 else (MPI.SUM,):
                    result = np.zeros_like(mine)
                    with np.errstate(all="ignore"):
                        algorithm.function(comm, mine, result, op=op)
                    assert len(set(comm.allgather(result.tobytes()))) == 1, (algorithm.name, n, dtype)
    zeros = np.full(5, 0.0 if comm.rank % 2 else -0.0)  # max(0.0, -0.0) depends on the order
    for algorithm in members("allreduce"):
        result = np.empty(5)
        algorithm.function(comm, zeros, result, op=MPI.MAX)
        assert len(set(comm.allgather(result.tobytes()))) == 1, algorithm.name


def check_reduce_flat_is_the_loop_over_the_ranks(comm):
    vectors = [wild(rank, 40) for rank in range(comm.size)]
    expected = combined(np.add, vectors)
    for root in roots(comm):
        result = np.empty(40)
        family("reduce")[0].function(comm, vectors[comm.rank], result, root=root)
        assert comm.rank != root or result.tobytes() == expected.tobytes(), root


def check_results_do_not_depend_on_the_time(comm):
    """The same input gives the same bits on every run: no algorithm takes messages in the order of their arrival."""
    mine = wild(comm.rank, 33)
    for operation in ("reduce", "allreduce", "scan", "exscan"):
        for algorithm in members(operation):
            found = []
            for _ in range(2):
                result = np.zeros(33)
                algorithm.function(comm, mine, result)
                found.append(result.tobytes())
            assert found[0] == found[1], algorithm.name


def check_order_of_operands_is_that_of_the_ranks(comm):
    """For every algorithm that says so, at every root, with a count that does not divide."""
    vectors = [data(rank, 2 * comm.size + 1, "i8", 0, 256 * 251) for rank in range(comm.size)]
    expected = combined(affine, vectors)
    for algorithm in members("reduce", AFFINE) + members("allreduce", AFFINE):
        for root in roots(comm) if algorithm.operation == "reduce" else [0]:
            room = Room(expected.size, "i8")
            options = {"root": root} if algorithm.operation == "reduce" else {}
            algorithm.function(comm, vectors[comm.rank], room.array, op=AFFINE, **options)
            if algorithm.operation != "reduce" or comm.rank == root:
                room.check(expected, (algorithm.name, root))
