"""Columns, halos and Jacobi steps, compared with slices and pads of the whole grid."""

import numpy as np
from helpers import equal, refused
from mpi4py import MPI

from labkit.mpi.point_to_point import datatypes, halo, heat
from labkit.mpi.point_to_point.decomposition import block_range, process_grid

DTYPES = ["f8", "f4", "i8", "i2", "u1", "?", "c16", "c8", "f2", "g", "M8[s]", "S3", "U2", ">f8", [("a", "i4"), ("b", "f8")]]


def filled(shape, dtype):
    """Bytes that all differ as far as they can, in an array of any dtype."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape))
    if dtype.kind in "fciu?":
        return (np.arange(count) * 7 % 101).astype(dtype).reshape(shape)
    raw = np.resize(np.arange(65, 123, dtype=np.uint8), count * dtype.itemsize)
    if dtype.kind == "U":
        return np.array([chr(65 + i % 50) + "x" for i in range(count)], dtype).reshape(shape)
    return raw.view(dtype).reshape(shape)


def check_columns_arrive_and_nothing_else_changes(comm):
    if comm.size < 2:
        return
    last = comm.size - 1
    for dtype in DTYPES:
        for shape in ((1, 1), (1, 4), (5, 1), (6, 3), (0, 2)):
            source = filled(shape, dtype)
            for column in {0, shape[1] - 1}:
                for send in (datatypes.send_column, datatypes.send_column_copied):
                    for recv in (datatypes.recv_column, datatypes.recv_column_copied):
                        if comm.rank == 0:
                            before = source.tobytes()
                            send(comm, source, column, last, tag=4)
                            assert source.tobytes() == before
                        elif comm.rank == last:
                            target = np.zeros(shape, dtype)
                            expected = target.copy()
                            expected[:, column] = source[:, column]
                            recv(comm, target, column, 0, tag=4)
                            # Values, not bytes: a long double has bytes that mean nothing.
                            assert np.array_equal(target, expected), (dtype, shape, column, target, expected)
    comm.Barrier()


def check_a_column_is_a_plain_message_to_others(comm):
    if comm.size < 2:
        return
    grid = filled((5, 4), "f8")
    if comm.rank == 0:
        datatypes.send_column(comm, grid, 2, 1)
    elif comm.rank == 1:
        room = np.zeros(5)
        comm.Recv(room, 0, 0)
        equal(room, grid[:, 2].copy(), "received as an array")


def check_of_a_column_only_what_arrives_changes(comm):
    grid, middle = np.arange(12.0).reshape(4, 3), [1, 4, 7, 10]
    for receive in (datatypes.recv_column, datatypes.recv_column_copied):
        for dtype in ("f8", "M8[s]"):  # a number, and what travels as bytes
            target = grid.astype(dtype)
            receive(comm, target, 1, MPI.PROC_NULL)
            equal(target, grid.astype(dtype), f"{receive.__name__} from nobody")
        if comm.rank == 0:
            for other in range(1, comm.size):
                comm.Send(np.array([70.0, 80.0]), other, 6)
        else:
            target, expected = grid.copy(), grid.copy()
            expected[:, 1] = [70, 80, *middle[2:]]
            receive(comm, target, 1, 0, tag=6)
            equal(target, expected, f"{receive.__name__} of a short message")


def check_columns_refuse_what_has_none(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    grid = np.zeros((4, 3))
    for call in (datatypes.send_column, datatypes.recv_column, datatypes.send_column_copied, datatypes.recv_column_copied):
        name = call.__name__
        refused(lambda: call(comm, grid.T, 0, 0), name, where, "C order", "np.ascontiguousarray")
        refused(lambda: call(comm, grid[:, ::2], 0, 0), name, "C order")
        refused(lambda: call(comm, np.zeros(4), 0, 0), name, "2-D", "1-D")
        refused(lambda: call(comm, [[1]], 0, 0), name, "list")
        refused(lambda: call(comm, grid, 3, 0), name, where, "no column 3", "(4, 3)")
        refused(lambda: call(comm, grid, -1, 0), name, "column", "-1")
        refused(lambda: call(comm, grid.astype(object), 0, 0), name, "Python objects")
    refused(lambda: datatypes.column_type(grid.astype(object)), "column_type", "object")


def check_halo_1d_is_a_slice_of_the_whole(comm):
    for width in (1, 2):
        for extra in (0, 1, 3):
            for tail in ((), (4,), (2, 3)):
                for periodic in (False, True):
                    total = width * comm.size + extra
                    whole = filled((total, *tail), "f8") + 1
                    start, stop = block_range(total, comm.size, comm.rank)
                    block = np.full((stop - start + 2 * width, *tail), -1.0)
                    block[width:-width] = whole[start:stop]
                    expected = block.copy()
                    indices = np.arange(start - width, stop + width)
                    inside = (indices >= 0) & (indices < total) | periodic
                    expected[inside] = whole[indices[inside] % total]
                    halo.exchange_halo_1d(comm, block, width=width, periodic=periodic)
                    equal(block, expected, f"width {width}, {total} rows, periodic {periodic}")


def check_halo_2d_is_a_window_of_the_whole(comm):
    shapes = {(comm.size, 1), (1, comm.size), process_grid(comm.size, (50, 50))}
    if comm.size == 5:
        shapes.add((2, 2))  # one rank stays out
    for dims in sorted(shapes):
        for periods in ((False, False), (True, False), (False, True), (True, True)):
            cart = comm.Create_cart(dims, periods=periods, reorder=False)
            if comm.rank >= dims[0] * dims[1]:
                continue
            for dtype in ("f8", "i4", "c16", "u1"):
                for height, width in (dims, (dims[0] + 1, 2 * dims[1] + 1), (17, 11)):
                    for columns in ("datatype", "copy"):
                        one_halo_2d(cart, dims, periods, np.dtype(dtype), (height, width), columns)
            cart.Free()


def one_halo_2d(cart, dims, periods, dtype, shape, columns):
    whole = (np.arange(shape[0] * shape[1]) % 120 + 1).astype(dtype).reshape(shape)
    row, column = cart.Get_coords(cart.rank)
    (top, bottom), (west, east) = block_range(shape[0], dims[0], row), block_range(shape[1], dims[1], column)
    block = np.full((bottom - top + 2, east - west + 2), 99, dtype)
    block[1:-1, 1:-1] = whole[top:bottom, west:east]
    expected = block.copy()
    for i, r in enumerate(range(top - 1, bottom + 1)):
        for j, c in enumerate(range(west - 1, east + 1)):
            corner = i in (0, bottom - top + 1) and j in (0, east - west + 1)
            row_is_there = 0 <= r < shape[0] or periods[0]
            column_is_there = 0 <= c < shape[1] or periods[1]
            if not corner and row_is_there and column_is_there:
                expected[i, j] = whole[r % shape[0], c % shape[1]]
    halo.exchange_halo_2d(cart, block, columns=columns)
    equal(block, expected, f"{dims} {periods} {dtype} {shape} {columns}")


def check_halo_refuses_blocks_without_a_frame(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    refused(lambda: halo.exchange_halo_1d(comm, np.zeros(2)), "exchange_halo_1d", where, "(2,)")
    refused(lambda: halo.exchange_halo_1d(comm, np.zeros(5), width=2), "exchange_halo_1d", "frames of 2")
    refused(lambda: halo.exchange_halo_1d(comm, np.zeros((6, 6))[:, ::2]), "C order")
    refused(lambda: halo.exchange_halo_1d(comm, [1, 2, 3]), "list")
    refused(lambda: halo.exchange_halo_1d(comm, np.zeros(5), width=0), "width", "0")
    refused(lambda: halo.exchange_halo_2d(comm, np.zeros((2, 9))), "exchange_halo_2d", where, "(2, 9)")
    refused(lambda: halo.exchange_halo_2d(comm, np.zeros((3, 9)).T), "C order")
    refused(lambda: halo.exchange_halo_2d(comm, np.zeros((4, 4)), columns="rows"), "datatype", "rows")


def check_halo_refuses_what_mpi_has_no_type_for(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    cart = comm.Create_cart((comm.size, 1), periods=(True, True), reorder=False)
    for dtype in (">f8", "M8[s]", "S3", "U2", "O", [("a", "i4")]):
        block, word = np.zeros((3, 3), dtype), np.dtype(dtype).str
        refused(lambda: halo.exchange_halo_1d(comm, block), "exchange_halo_1d", where, word, "astype")
        for columns in ("datatype", "copy"):
            refused(lambda: halo.exchange_halo_2d(cart, block, columns=columns), "exchange_halo_2d", word, "astype")
    for dtype in ("?", "i1", "u8", "f2", "f4", "g", "c8"):  # every rank has one point, a 1
        block = np.zeros((3, 3), dtype)
        block[1, 1] = 1
        expected = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype)
        for columns in ("datatype", "copy"):
            found = block.copy()
            halo.exchange_halo_2d(cart, found, columns=columns)
            assert np.array_equal(found, expected), (dtype, columns, found)
        halo.exchange_halo_1d(comm, block, periodic=True)
        assert np.array_equal(block, np.array([[0, 1, 0]] * 3, dtype)), (dtype, block)
    cart.Free()


def check_halo_2d_refuses_ranks_without_a_grid(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    refused(lambda: halo.exchange_halo_2d(comm, np.zeros((3, 3))), "exchange_halo_2d", where, "comm.Create_cart")


def check_jacobi_is_bitwise_the_serial_one(comm):
    rough = np.random.default_rng(5).standard_normal((40, 40)) * 10.0 ** np.arange(-20, 20)

    def initial(rows, columns, shape):
        return rough[rows, columns]

    for grid_shape in ((1, 1), (1, 7), (9, 1), (2, 2), (5, 5), (13, 8), (37, 23)):
        for boundary in ("periodic", 0.1, (1.0, -2.5, 1e-300, 7e5)):
            for num_steps, start, columns in ((0, initial, "copy"), (1, initial, "datatype"), (9, initial, "copy"),
                                              (9, heat.hot_square, "datatype")):
                block = heat.jacobi_heat(
                    comm, grid_shape, num_steps, boundary=boundary, initial=start, columns=columns
                )
                whole = heat.gather_grid(comm, block, grid_shape)
                if comm.rank == 0:
                    expected = heat.serial_jacobi(grid_shape, num_steps, boundary=boundary, initial=start)
                    equal(whole, expected, f"{grid_shape} {boundary} {num_steps}")
                else:
                    assert whole is None


def check_jacobi_starts_from_all_that_broadcasts(comm):
    for of_point in (lambda i, j: j, lambda i, j: i, lambda i, j: 7):
        whole = np.array([[float(of_point(i, j)) for j in range(5)] for i in range(4)])
        for num_steps in (0, 2):
            block = heat.jacobi_heat(comm, (4, 5), num_steps, boundary=0.5, initial=lambda i, j, shape: of_point(i, j))
            found = heat.gather_grid(comm, block, (4, 5))
            (top, bottom), (west, east) = block.rows, block.columns
            equal(block.values.shape, (bottom - top, east - west), "shape of the block")
            if comm.rank == 0:
                expected = heat.serial_jacobi((4, 5), num_steps, boundary=0.5, initial=lambda i, j, shape: whole[i, j])
                equal(found, expected, f"{num_steps} steps from {whole}")


def check_jacobi_blocks_are_what_the_plan_says(comm):
    dims = process_grid(comm.size, (2, 2))
    block = heat.jacobi_heat(comm, (2, 2), 3)
    row, column = divmod(comm.rank, dims[1])
    if comm.rank < dims[0] * dims[1]:
        equal((block.rows, block.columns), (block_range(2, dims[0], row), block_range(2, dims[1], column)), "block")
    else:
        equal((block.rows, block.columns, block.values.size), ((0, 0), (0, 0), 0), "idle rank")
    equal(block.values.dtype, np.dtype(float), "dtype")


def check_jacobi_refuses_wrong_arguments(comm):
    where = f"on rank {comm.rank} of {comm.size}"
    refused(lambda: heat.jacobi_heat(comm, (0, 5), 1), "jacobi_heat", where, "0 x 5")
    refused(lambda: heat.jacobi_heat(comm, (5, 5), -1), "jacobi_heat", where, "num_steps", "-1")
    refused(lambda: heat.jacobi_heat(comm, (5, 5), 1, boundary="open"), "jacobi_heat", "open", "periodic")
    refused(lambda: heat.jacobi_heat(comm, (5, 5), 1, boundary=(1, 2)), "(1, 2)", "left")
    for wrong, what in ((np.zeros((7, 7)), "(7, 7)"), ("hot", "hot"), (None, "None"), ([[1, 2], [3]], "[3]")):
        refused(lambda: heat.jacobi_heat(comm, (5, 5), 1, initial=lambda *_: wrong), "jacobi_heat", where, "initial", what)
