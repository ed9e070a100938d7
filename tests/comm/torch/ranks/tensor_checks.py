"""What every communicator for tensors does, on any device: one body for MPI, Gloo, staged and direct ones.

``check(comm, device)``; a check that does not hold raises AssertionError. Values are made here, from the ranks alone.
"""

import numpy as np
import torch
from mpi4py import MPI

from labkit.errors import NotAvailableError, UsageError
from labkit.mpi.collectives.registry import ALGORITHMS

HALVES = (torch.float16, torch.bfloat16)
TYPES = (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, *HALVES)


def same(actual, expected, what):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, f"{what}: {actual.dtype} {tuple(actual.shape)}"
    assert torch.equal(actual.cpu(), expected.cpu()), f"{what}: {actual} is not {expected}"


def around(comm):
    return comm.rank, comm.size, (comm.rank + 1) % comm.size, (comm.rank - 1) % comm.size


def numbers(rank, count, dtype, device):
    """Small whole numbers: their sums are exact in every type."""
    return ((torch.arange(count) * 3 + rank) % 5).to(dtype).to(device)


def check_messages(comm, device):
    rank, size, right, left = around(comm)
    for dtype in TYPES:
        for count in (0, 1, 7, 30_000):
            mine, expected = (numbers(r, count, dtype, device) for r in (rank, left))
            room = torch.zeros_like(mine)
            request = comm.Isend(mine, right, 3)
            status = MPI.Status()
            comm.Recv(room, left, 3, status)
            request.Wait()
            same(room, expected, f"{count} of {dtype}")
            if count:
                assert (status.source, status.Get_count(MPI.BYTE)) == (left, room.nbytes), "status"
            room.zero_()
            comm.Sendrecv(mine, right, 1, room, left, 1)
            same(room, expected, "Sendrecv")
            comm.Sendrecv_replace(mine, right, 1, left, 1)
            same(mine, expected, "Sendrecv_replace")
            receive = comm.Irecv(room.zero_(), left, 2)
            sends = [comm.Isend(expected, right, 2)]
            type(receive).Waitall([receive, *sends])
            same(room, numbers((rank - 2) % size, count, dtype, device), "Irecv, Waitall")
    matrix = torch.arange(6.0, device=device).reshape(2, 3) + rank
    room = torch.zeros(2, 3, device=device)
    comm.Sendrecv(matrix, right, 5, room, left, 5)
    same(room, matrix - rank + left, "a matrix")
    comm.Send(matrix, MPI.PROC_NULL)
    comm.Recv(room, MPI.PROC_NULL)
    same(room, matrix - rank + left, "from nobody")
    # What is wrong with a send is found before its receive takes a message.
    for wrong in (lambda: comm.Sendrecv(matrix, size, 5, room, left, 5), lambda: comm.Sendrecv_replace(matrix, size, 5, left, 5)):
        refused((UsageError, MPI.Exception), wrong)
    room.zero_()
    comm.Sendrecv(matrix, right, 5, room, left, 5)
    same(room, matrix - rank + left, "a matrix after calls that were refused")


def check_collectives(comm, device):
    rank, size, right, left = around(comm)
    for dtype in TYPES:
        for count in (1, 5, 4000):
            mine = numbers(rank, count, dtype, device)
            table = torch.stack([numbers(r, count, dtype, device) for r in range(size)])
            total = table.cpu().double().sum(0).to(dtype).to(device)
            out = torch.zeros_like(mine)
            comm.Allreduce(mine, out)
            same(out, total, f"Allreduce of {dtype}")
            same(mine, table[rank], "its sendbuf")
            both = mine.clone()
            comm.Allreduce(MPI.IN_PLACE, both, MPI.MAX)
            same(both, table.amax(0), "Allreduce in place, MAX")
            request = comm.Iallreduce(mine, out.zero_())
            request.Wait()
            same(out, total, "Iallreduce")
            for root in {0, size - 1}:
                box = mine.clone()
                comm.Bcast(box, root)
                same(box, table[root], "Bcast")
                out.zero_()
                comm.Reduce(mine, out if rank == root else None, MPI.SUM, root)
                same(out, total if rank == root else torch.zeros_like(out), "Reduce")
                everything = torch.zeros_like(table)
                comm.Gather(mine, everything if rank == root else None, root)
                same(everything, table if rank == root else torch.zeros_like(table), "Gather")
                comm.Scatter(table if rank == root else None, out, root)
                same(out, mine, "Scatter")
            comm.Allgather(mine, everything.zero_())
            same(everything, table, "Allgather")
            comm.Alltoall(table + rank, everything)
            same(everything, torch.stack([mine + r for r in range(size)]), "Alltoall")
            comm.Reduce_scatter_block(table, out)
            same(out, (mine * size).to(dtype), "Reduce_scatter_block")
            comm.Scan(mine, out)
            same(out, table[: rank + 1].cpu().double().sum(0).to(dtype).to(device), "Scan")
            out.fill_(1)
            comm.Exscan(mine, out)
            same(out, table[:rank].cpu().double().sum(0).to(dtype).to(device) if rank else torch.ones_like(out), "Exscan")
    counts = [r % 3 for r in range(size)]
    out = torch.full((4 * size,), -1.0, device=device)
    comm.Allgatherv(torch.full((counts[rank],), float(rank), device=device), [out, (counts, [4 * r for r in range(size)])])
    expected = torch.full((4 * size,), -1.0, device=device)
    for r in range(size):
        expected[4 * r : 4 * r + counts[r]] = r
    same(out, expected, "Allgatherv with gaps")


def check_sums_of_16_bits(comm, device):
    """Each element is rounded once: 1 + p - 1 times a quarter of its unit in the last place is not lost."""
    rank, size, _, _ = around(comm)
    for dtype in HALVES:
        quarter = torch.finfo(dtype).eps / 4
        mine = torch.full((9,), 1.0 if rank == 0 else quarter, dtype=dtype, device=device)
        expected = torch.full((9,), 1 + (size - 1) * quarter, dtype=torch.float32).to(dtype).to(device)
        for call in (comm.Allreduce, lambda a, b: comm.Iallreduce(a, b).Wait()):
            out = torch.zeros_like(mine)
            call(mine, out)
            same(out, expected, f"a sum of {dtype}")
        block = torch.zeros(3, dtype=dtype, device=device)
        comm.Reduce_scatter_block(mine[:3].repeat(size), block)
        same(block, expected[:3], "Reduce_scatter_block")
        random = torch.randn(501, generator=torch.Generator().manual_seed(rank)).to(dtype).to(device)
        whole = torch.stack([torch.randn(501, generator=torch.Generator().manual_seed(r)).to(dtype) for r in range(size)])
        total = torch.zeros(501)
        for row in whole:
            total += row.float()
        comm.Allreduce(MPI.IN_PLACE, random)
        if device == "cpu" or not hasattr(comm, "direct") or comm.direct is None:
            same(random, total.to(dtype).to(device), "in the order of the ranks, rounded once")


def check_own_algorithms(comm, device):
    """Every all-reduce of labkit.mpi, and one algorithm at least of every other operation."""
    rank, size, _, _ = around(comm)
    for algorithm in ALGORITHMS.values():
        if algorithm.needs_shared_memory or algorithm.operation in ("barrier", "scan", "exscan"):
            continue
        for dtype in (torch.float32, torch.bfloat16):
            if algorithm.operation != "allreduce" and dtype == torch.float32 and device == "cpu":
                continue  # that is the NumPy path of every other test
            count = 6 * size
            mine = numbers(rank, count, dtype, device)
            table = torch.stack([numbers(r, count, dtype, device) for r in range(size)])
            total = table.float().sum(0).to(dtype)
            run, operation = algorithm.function, algorithm.operation
            block = slice(6 * rank, 6 * rank + 6)
            out = torch.zeros_like(mine)
            options = {"ranks_per_node": 2} if algorithm.name == "allreduce_hierarchical" else {}
            if operation == "allreduce":
                run(comm, mine, out, **options)
                same(out, total, algorithm.name)
                for op, function in ((MPI.MAX, torch.amax), (MPI.MIN, torch.amin)):
                    run(comm, MPI.IN_PLACE, both := mine.clone(), op=op, **options)
                    same(both, function(table, 0), algorithm.name)
            elif operation == "reduce":
                run(comm, mine, out if rank == 0 else None)
                same(out, total if rank == 0 else torch.zeros_like(out), algorithm.name)
            elif operation == "reduce_scatter":
                run(comm, mine, out[:6])
                same(out[:6], total[block], algorithm.name)
            elif operation == "broadcast":
                run(comm, box := mine.clone())
                same(box, table[0], algorithm.name)
            elif operation == "allgather":
                run(comm, mine[:6], out)
                same(out, table[:, :6].reshape(-1), algorithm.name)
            elif operation == "gather":
                run(comm, mine[:6], out if rank == 0 else None)
                same(out, table[:, :6].reshape(-1) if rank == 0 else torch.zeros_like(out), algorithm.name)
            elif operation == "scatter":
                run(comm, mine if rank == 0 else None, out[:6])
                same(out[:6], table[0][block], algorithm.name)
            else:
                run(comm, mine, out)
                same(out, table[:, block].reshape(-1), algorithm.name)
            same(mine, table[rank], f"the sendbuf of {algorithm.name}")


def check_makers(comm, device):
    rank, size, right, left = around(comm)
    half = comm.Split(rank % 2, -rank)
    out = torch.zeros(2, device=device)
    half.Allreduce(torch.full((2,), float(rank), device=device), out)
    assert out.tolist() == [float(sum(r for r in range(size) if r % 2 == rank % 2))] * 2, "Split"
    twin = half.Dup()
    twin.Bcast(out.fill_(rank), 0)
    assert out[0] == max(r for r in range(size) if r % 2 == rank % 2), "Dup of a Split"
    ring = comm.Create_cart([size], [True])
    source, dest = ring.Shift(0, 1)
    ring.Sendrecv(torch.full((3,), float(rank), device=device), dest, 0, room := torch.zeros(3, device=device), source, 0)
    assert room.tolist() == [float(left)] * 3, "on a grid"


def check_refusals(comm, device):
    rank, size, right, left = around(comm)
    strided = torch.zeros(4, 4, device=device)[:, 1]
    for call in (lambda: comm.Send(strided, right), lambda: comm.Irecv(strided, left), lambda: comm.Bcast(strided),
                 lambda: comm.Allreduce(MPI.IN_PLACE, strided)):
        refused(UsageError, call, f"rank {rank} of {size}", "not contiguous", "contiguous()")
    refused(UsageError, lambda: comm.Send(torch.zeros(2, dtype=torch.complex64, device=device).conj(), right), "resolve_conj")
    refused(UsageError, lambda: comm.Send(torch.zeros(3, 3).to_sparse(), right), "layout")
    refused(UsageError, lambda: comm.Allreduce(torch.zeros(2, device=device), torch.zeros(2, dtype=torch.float64, device=device)),
            "torch.float32", "torch.float64")
    half = torch.zeros(2, dtype=torch.bfloat16, device=device)
    refused(MPI.Exception, lambda: comm.Allreduce(half, half.clone(), MPI.BAND), "not defined for torch.bfloat16")
    refused(UsageError, lambda: comm.Allreduce(torch.zeros(3, dtype=torch.float16, device=device), half.half()), "3 elements")
    if not torch.cuda.is_available():
        from labkit.comm.torch import communicator

        refused(NotAvailableError, lambda: communicator(MPI.COMM_SELF, device="cuda"), "no GPU")
    comm.Barrier()
    assert not comm.Iprobe(), "nothing was sent"


def refused(kind, call, *words):
    try:
        call()
    except kind as error:
        missing = [word for word in words if word not in str(error)]
        assert not missing, f"{missing} not in: {error}"
    else:
        raise AssertionError(f"not refused: {words}")


def check_no_copy(comm, device):
    """What the library sees is the tensor's own memory: a receive that is under way fills it behind our back."""
    from labkit.comm.torch import host_array

    for dtype in (*TYPES, torch.float8_e5m2):
        tensor = torch.zeros(6, dtype=dtype, requires_grad=dtype.is_floating_point and dtype.itemsize > 1)
        array = host_array(tensor)
        assert array.ctypes.data == tensor.data_ptr() and array.nbytes == tensor.nbytes, dtype
    assert np.shares_memory(host_array(torch.zeros(2, 3)[1]), host_array(torch.zeros(1))) is False


CHECKS = {name: value for name, value in list(globals().items()) if name.startswith("check_")}


def check(comm, device="cpu", without=()):
    """All checks, each on a communicator of its own."""
    for name, one in CHECKS.items():
        if name in without:
            continue
        own = comm.Dup()
        try:
            one(own, device)
        except Exception as error:
            raise AssertionError(f"{name} on rank {comm.rank} of {comm.size} of {comm!r}: {error!r}") from error
        own.Barrier()
        own.Free()
