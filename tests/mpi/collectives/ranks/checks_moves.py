"""Broadcast, scatter, gather, all-gather, all-to-all and barriers, compared with slices of the data of all ranks."""

import numpy as np
from cases import DTYPES, Room, algorithms, counts_of, data, ends_of, roots, sizes, tensor
from mpi4py import MPI

from labkit.comm.reduction import compute_for
from labkit.mpi.clock import wall_time
from labkit.mpi.collectives.registry import family


def check_barrier_holds_everybody_back(comm):
    for algorithm in family("barrier"):
        for late in range(comm.size):
            compute_for(comm, 2e-4 if comm.rank == late else 0)
            came = wall_time()
            algorithm.function(comm)
            left = wall_time()
            assert min(comm.allgather(left)) >= max(comm.allgather(came)), (algorithm.name, late)


def check_broadcast(comm):
    for algorithm in algorithms(comm, "broadcast"):
        for k, (n, root) in enumerate((n, root) for n in sizes(comm) for root in roots(comm)):
            expected = data(root, n, DTYPES[k % len(DTYPES)])
            room = Room(n, expected.dtype, expected if comm.rank == root else None)
            options = {"segment_bytes": (1, 16, 20, 1 << 20)[k % 4]} if "chain" in algorithm.name else {}
            algorithm.function(comm, room.array, root=root, **options)
            room.check(expected, (algorithm.name, n, root))
            source = expected if comm.rank == root else np.zeros_like(expected)  # read-only at the root
            algorithm.function(comm, source, root=root)


def check_scatter(comm):
    for algorithm in family("scatter"):
        for k, (n, root) in enumerate((n * comm.size, root) for n in (0, 1, 3) for root in roots(comm)):
            _scatter(comm, algorithm, [n // comm.size] * comm.size, root, k, by_counts=False)
        for seed in range(4):
            for root in roots(comm):
                _scatter(comm, algorithm, counts_of(comm, seed), root, seed + root, by_counts=True)


def _scatter(comm, algorithm, counts, root, k, *, by_counts):
    dtype, ends, me = DTYPES[k % len(DTYPES)], ends_of(counts), comm.rank
    everything = data(root, ends[-1], dtype)
    options = {"counts": (counts, tuple(counts), np.array(counts))[k % 3]} if by_counts else {}
    for in_place in (False, True):
        room = Room(counts[me], dtype)
        recvbuf = MPI.IN_PLACE if in_place and me == root else room.array
        algorithm.function(comm, everything if me == root else None, recvbuf, root=root, **options)
        if recvbuf is room.array:
            room.check(everything[ends[me] : ends[me + 1]], (algorithm.name, counts, root))


def check_gather(comm):
    for algorithm in algorithms(comm, "gather"):
        for k, (n, root) in enumerate((n * comm.size, root) for n in (0, 1, 3) for root in roots(comm)):
            _gather(comm, algorithm, [n // comm.size] * comm.size, root, k, by_counts=False)
        for seed in range(4):
            for root in roots(comm):
                _gather(comm, algorithm, counts_of(comm, seed), root, seed + root, by_counts=True)


def _gather(comm, algorithm, counts, root, k, *, by_counts):
    dtype, ends, me = DTYPES[k % len(DTYPES)], ends_of(counts), comm.rank
    blocks = [data(rank, counts[rank], dtype) for rank in range(comm.size)]
    options = {"counts": (counts, tuple(counts), np.array(counts))[k % 3]} if by_counts else {}
    for in_place in (False, True):
        room = Room(ends[-1], dtype)
        sendbuf = blocks[me]
        if in_place and me == root:
            room.array[ends[me] : ends[me + 1]] = sendbuf
            sendbuf = MPI.IN_PLACE
        algorithm.function(comm, sendbuf, room.array if me == root else None, root=root, **options)
        if me == root:
            room.check(np.concatenate(blocks), (algorithm.name, counts, root))


def check_allgather(comm):
    for algorithm in algorithms(comm, "allgather"):
        for k, n in enumerate((0, 1, 2, 5)):
            _allgather(comm, algorithm, [n] * comm.size, DTYPES[k], by_counts=False)
        for seed in range(6):
            _allgather(comm, algorithm, counts_of(comm, seed), DTYPES[seed], by_counts=True)


def _allgather(comm, algorithm, counts, dtype, *, by_counts):
    ends, me = ends_of(counts), comm.rank
    blocks = [data(rank, counts[rank], dtype) for rank in range(comm.size)]
    for in_place in (False, True):
        room = Room(ends[-1], dtype)
        if in_place:
            room.array[ends[me] : ends[me + 1]] = blocks[me]
        sendbuf = MPI.IN_PLACE if in_place else blocks[me]
        algorithm.function(comm, sendbuf, room.array, **({"counts": counts} if by_counts else {}))
        room.check(np.concatenate(blocks), (algorithm.name, counts, in_place))


def check_alltoall(comm):
    me, size = comm.rank, comm.size
    for algorithm in family("alltoall"):
        for k, block in enumerate((0, 1, 2, 3, 8)):
            vectors = [data(rank, block * size, DTYPES[k]) for rank in range(size)]
            expected = np.concatenate([vector[me * block : (me + 1) * block] for vector in vectors])
            room = Room(block * size, expected.dtype)
            algorithm.function(comm, vectors[me], room.array)
            room.check(expected, (algorithm.name, block))
            room = Room(block * size, expected.dtype, vectors[me])
            algorithm.function(comm, MPI.IN_PLACE, room.array)
            room.check(expected, (algorithm.name, block, "in place"))


def check_moves_of_every_type_of_arrays_and_tensors(comm):
    me, size = comm.rank, comm.size
    root = size - 1
    for dtype in (*DTYPES, "b", "h", "H", "I", "L", "c8"):
        whole = data(root, 2 * size, dtype)
        mine = whole[2 * me : 2 * me + 2]
        forms = [lambda a: a.reshape(-1, 2).copy(), lambda a: a.reshape(2, -1).view(Subclass)]
        if dtype not in ("H", "I", "L"):
            forms.append(tensor)
        for form in forms:
            for algorithm in algorithms(comm, "broadcast"):
                buffer = form(whole) if me == root else form(np.zeros_like(whole))
                algorithm.function(comm, buffer, root=root)
                assert np.asarray(buffer).tobytes() == form_bytes(form, whole), (algorithm.name, dtype)
            for algorithm in family("scatter"):
                buffer = form(np.zeros_like(mine))
                algorithm.function(comm, form(whole) if me == root else None, buffer, root=root)
                assert np.asarray(buffer).tobytes() == form_bytes(form, mine), (algorithm.name, dtype)
            for algorithm in algorithms(comm, "gather") + algorithms(comm, "allgather"):
                buffer = form(np.zeros_like(whole))
                algorithm.function(comm, form(mine), buffer, **({"root": root} if "allg" not in algorithm.name else {}))
                if me == root or "allg" in algorithm.name:
                    assert np.asarray(buffer).tobytes() == form_bytes(form, whole), (algorithm.name, dtype)
            for algorithm in family("alltoall"):
                buffer = form(np.zeros_like(whole))
                algorithm.function(comm, form(whole), buffer)
                assert np.asarray(buffer).tobytes() == np.tile(mine, size).tobytes(), (algorithm.name, dtype)


def form_bytes(form, array) -> bytes:
    return np.asarray(form(array)).tobytes()


class Subclass(np.ndarray):
    """An array that stays 2-D, as numpy.matrix does."""

    def reshape(self, *shape, **options):
        return self
