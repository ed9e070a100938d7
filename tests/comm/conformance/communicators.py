"""What every communicator does: others made of it, and arrays in Fortran's order."""

from array import array

import numpy as np

from .common import around, equal


def check_communicators(comm, MPI):
    rank, size, right, left = around(comm)
    twin = comm.Dup()
    equal(twin.allreduce(1), size, "Dup")
    first, second = comm.Isend(np.array([1]), right, 5), twin.Isend(np.array([2]), right, 5)
    twin.Recv(room := np.zeros(1, int), left, 5)
    comm.Recv(other := np.zeros(1, int), left, 5)
    equal((int(room[0]), int(other[0])), (2, 1), "communicators keep their messages apart")
    first.Wait()
    second.Wait()
    half = twin.Split(color=rank % 2, key=-rank)
    members = sorted((r for r in range(size) if r % 2 == rank % 2), reverse=True)
    equal((half.rank, half.size, half.allgather(rank)), (members.index(rank), len(members), members), "Split")
    same = twin.Split(3, 0)
    equal((same.rank, same.size), (rank, size), "equal keys keep the order")
    equal(comm.Split(MPI.UNDEFINED if rank else 0) == MPI.COMM_NULL, rank != 0, "Split undefined")
    third = half.Split(half.rank // 2)
    equal(third.allgather(rank), members[half.rank // 2 * 2 :][:2], "Split of a Split")
    half.Free()
    twin.Free()
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    equal(node.allreduce(1), node.size, "Split_type")


def check_cartesian(comm, MPI):
    rank, size, right, left = around(comm)
    ring = comm.Create_cart([size], periods=[True])
    equal((ring.Shift(0, 1), ring.Shift(0, 2)), ((left, right), ((rank - 2) % size, (rank + 2) % size)), "Shift")
    equal(ring.sendrecv(rank, right, source=left), left, "in a Cartesian communicator")
    line = comm.Create_cart([size])
    nobody = MPI.PROC_NULL
    equal(line.Shift(0, 1), (rank - 1 if rank else nobody, rank + 1 if rank < size - 1 else nobody), "ends")
    rows = next(d for d in range(int(size**0.5), 0, -1) if size % d == 0)
    grid = comm.Create_cart((rows, size // rows), (True, False), False)
    coords = list(divmod(rank, size // rows))
    equal((grid.Get_coords(rank), grid.coords, grid.Get_cart_rank(coords)), (coords, coords, rank), "coordinates")
    equal((grid.Get_topo(), grid.dims, grid.periods, grid.Get_dim(), grid.ndim),
          (([rows, size // rows], [1, 0], coords), [rows, size // rows], [1, 0], 2, 2), "topology")
    equal(grid.Get_cart_rank([coords[0] + rows, coords[1]]), rank, "a periodic dimension wraps")
    equal(grid.Get_topology(), MPI.CART, "topology")
    row, column = grid.Sub([False, True]), grid.Sub([True, False])
    equal(row.allgather(rank), [coords[0] * (size // rows) + c for c in range(size // rows)], "Sub of rows")
    equal(column.allgather(rank), [r * (size // rows) + coords[1] for r in range(rows)], "Sub of columns")
    equal((row.coords, column.coords), ([coords[1]], [coords[0]]), "coordinates in a Sub")
    twin = grid.Dup()
    equal((twin.coords, twin.allreduce(1)), (coords, size), "Dup of a grid")
    equal(ring.Clone().Shift(0, 1), (left, right), "Clone of a ring")
    equal(MPI.Compute_dims(size, 2), sorted(MPI.Compute_dims(size, 2), reverse=True), "Compute_dims")
    if size > 1:
        part = comm.Create_cart([size - 1])
        equal(part == MPI.COMM_NULL, rank == size - 1, "a grid for fewer ranks")


def check_arrays_in_fortran_order(comm, MPI):
    """MPI moves memory as it lies: also of arrays whose columns are contiguous, and of other typed buffers."""
    rank, size, right, left = around(comm)
    numbers = np.arange(6.0).reshape(2, 3)
    whole = np.zeros((2, 3), order="F")
    if rank == 0:
        whole[:] = numbers
    comm.Bcast(whole)
    equal(whole, numbers, "Bcast")
    ones = np.ones((2, 2), order="F")
    comm.Allreduce(MPI.IN_PLACE, ones)
    equal(ones, np.full((2, 2), float(size)), "Allreduce in place")
    room = np.zeros((size, 2), order="F")
    comm.Allgather(np.array([rank, -rank], float), room)
    equal(room.T.ravel(), np.array([[r, -r] for r in range(size)], float).ravel(), "Allgather")
    total = np.zeros(2)
    comm.Allreduce(array("d", [1.5, rank]), total)
    equal(total, np.array([1.5 * size, sum(range(size))]), "Allreduce of an array of Python's")
    mine = np.arange(size) + 10.0 * rank
    comm.Alltoallv(MPI.IN_PLACE, mine)
    equal(mine, np.arange(size) * 10.0 + rank, "Alltoallv in place")
    replaced = np.asfortranarray(numbers + 10 * rank)
    comm.Sendrecv_replace(replaced, right, 0, left, 0)
    equal(replaced, numbers + 10 * left, "Sendrecv_replace")
    by_columns = np.zeros((2, 3), order="F")
    request = comm.Irecv(by_columns, left, 1)
    comm.Send(numbers, right, 1)
    request.Wait()
    equal(by_columns.T.ravel(), numbers.ravel(), "rows into columns")
