"""What every communicator does: collectives."""

import operator
from functools import reduce

import numpy as np

from .common import around, equal, roots


def check_rooted_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    for count in (0, 1, 5, 3000):
        mine = np.arange(count) * 1.0 + rank
        everyone = [np.arange(count) * 1.0 + r for r in range(size)]
        table = np.array(everyone).reshape(size, count)
        for root in roots(comm):
            at_root = rank == root
            box = mine.copy()
            comm.Bcast(box, root=root)
            equal(box, everyone[root], "Bcast")
            out = np.empty(count) if at_root else None
            comm.Reduce(mine, out, MPI.MAX, root)
            if at_root:
                equal(out, everyone[-1], "Reduce")
            both = mine.copy()
            comm.Reduce(MPI.IN_PLACE if at_root else both, both if at_root else None, MPI.SUM, root)
            equal(both, sum(everyone) if at_root else mine, "Reduce in place")
            out = np.full((size, count), -1.0) if at_root else None
            comm.Gather(mine, out, root)
            if at_root:
                equal(out, table, "Gather")
                out[:] = -1
                out[rank] = mine
            comm.Gather(MPI.IN_PLACE if at_root else mine, out, root)
            if at_root:
                equal(out, table, "Gather in place")
            comm.Scatter(out, box, root)
            equal(box, mine, "Scatter")
            comm.Scatter(out, MPI.IN_PLACE if at_root else box, root)
            equal(box, mine, "Scatter in place")
    comm.Barrier()
    comm.barrier()


def check_collectives_to_all(comm, MPI):
    rank, size, right, left = around(comm)
    for count in (0, 1, 5, 3000):
        mine = np.arange(count) * 1.0 + rank
        everyone = [np.arange(count) * 1.0 + r for r in range(size)]
        table = np.array(everyone).reshape(size, count)
        comm.Allreduce(mine, out := np.empty(count))
        equal(out, sum(everyone), "Allreduce")
        comm.Allreduce(MPI.IN_PLACE, both := mine.copy(), MPI.SUM)
        equal(both, sum(everyone), "Allreduce in place")
        comm.Allgather(mine, out := np.empty((size, count)))
        equal(out, table, "Allgather")
        out[:] = -1
        out[rank] = mine
        comm.Allgather(MPI.IN_PLACE, out)
        equal(out, table, "Allgather in place")
        comm.Alltoall(table + rank, out)
        equal(out, np.array([everyone[rank] + r for r in range(size)]).reshape(size, count), "Alltoall")
        comm.Alltoall(MPI.IN_PLACE, both := table + rank)
        equal(both, out, "Alltoall in place")
        comm.Scan(mine, out := np.empty(count))
        equal(out, sum(everyone[: rank + 1]), "Scan")
        comm.Scan(MPI.IN_PLACE, both := mine.copy())
        equal(both, out, "Scan in place")
        comm.Exscan(mine, out := np.full(count, -1.0))
        equal(out, sum(everyone[:rank]) if rank else np.full(count, -1.0), "Exscan")
        comm.Reduce_scatter_block(table, out := np.empty(count))
        equal(out, everyone[rank] * size, "Reduce_scatter_block")
        comm.Reduce_scatter_block(MPI.IN_PLACE, both := table.copy())
        equal(both[:1].reshape(-1)[:count], everyone[rank] * size, "Reduce_scatter_block in place")
    counts = np.arange(size) % 3
    ends = np.cumsum(counts)
    whole = np.arange(counts.sum()) + 10 * rank
    comm.Reduce_scatter(whole, out := np.empty(counts[rank], int), counts, MPI.SUM)
    block = np.arange(counts.sum())[ends[rank] - counts[rank] : ends[rank]]
    equal(out, block * size + 10 * sum(range(size)), "Reduce_scatter")


def check_v_variants(comm, MPI):
    rank, size, right, left = around(comm)
    counts = [(r + 1) % 4 for r in range(size)]  # some are 0
    displs = [5 * r for r in range(size)]  # with gaps
    expected, packed = np.full(5 * size, -1), []
    for r in range(size):
        expected[displs[r] : displs[r] + counts[r]] = 100 * r + np.arange(counts[r])
        packed += (100 * r + np.arange(counts[r])).tolist()
    mine = 100 * rank + np.arange(counts[rank])
    for form in (
        lambda out: [out, counts, displs, MPI.INT64_T], lambda out: [out, (counts, displs), MPI.INT64_T],
        lambda out: [out, (counts, displs)], lambda out: (out, np.array(counts), np.array(displs), "q"),
    ):
        out = np.full(5 * size, -1)
        comm.Allgatherv(mine, form(out))
        equal(out, expected, "Allgatherv with displacements")
    out = np.full(sum(counts), -1)
    comm.Allgatherv(mine, [out, counts])
    equal(out, np.array(packed, int), "Allgatherv")
    out = np.full(5 * size, -1)
    out[displs[rank] : displs[rank] + counts[rank]] = mine
    comm.Allgatherv(MPI.IN_PLACE, [out, counts, displs, MPI.INT64_T])
    equal(out, expected, "Allgatherv in place")
    for root in roots(comm):
        at_root = rank == root
        out = np.full(5 * size, -1)
        comm.Gatherv(mine, [out, counts, displs, MPI.INT64_T] if at_root else None, root)
        equal(out, expected if at_root else np.full(5 * size, -1), "Gatherv")
        room = np.full(counts[rank] + 1, -7)
        comm.Scatterv([out, counts, displs, MPI.INT64_T] if at_root else None, [room, counts[rank]], root=root)
        equal(room, np.append(mine, -7), "Scatterv")
        room = np.full(counts[rank], -7)
        comm.Scatterv([np.array(packed, int), counts] if at_root else None, room, root=root)
        equal(room, mine, "Scatterv, packed")
    send_counts = [(rank + r) % 3 for r in range(size)]
    places = [sum(send_counts[:r]) for r in range(size)]
    data = np.concatenate([np.full(c, 100 * rank + r) for r, c in enumerate(send_counts)] + [np.zeros(0, int)]).astype(int)
    out = np.full(sum(send_counts), -1)
    comm.Alltoallv([data, send_counts, places, MPI.INT64_T], [out, send_counts, places, MPI.INT64_T])
    answer = [100 * r + rank for r, c in enumerate(send_counts) for _ in range(c)]
    equal(out, np.array(answer, int), "Alltoallv")
    out = np.full(sum(send_counts), -1)
    comm.Alltoallv([data, send_counts], [out, send_counts])
    equal(out, np.array(answer, int), "Alltoallv, packed")


def check_operations(comm, MPI):
    rank, size, right, left = around(comm)
    numbers = [np.array([r + 1, r % 2, 7 ^ r]) for r in range(size)]
    for op, ufunc in ((op, u) for op, u in _pairs(MPI) if size < 20 or op != MPI.PROD):
        comm.Allreduce(numbers[rank], out := np.zeros(3, int), op)
        equal(out, reduce(ufunc, numbers), f"Allreduce {op}")
    flags = [np.array([r % 2 == 0, True, False]) for r in range(size)]
    for op, ufunc in ((MPI.LAND, np.logical_and), (MPI.LOR, np.logical_or), (MPI.LXOR, np.logical_xor)):
        comm.Allreduce(flags[rank], out := np.zeros(3, bool), op)
        equal(out, reduce(ufunc, flags), f"Allreduce {op}")
        comm.Allreduce(np.array([rank % 3]), out := np.zeros(1, int), op)
        equal(out, reduce(ufunc, [np.array([r % 3]) for r in range(size)]).astype(int), f"{op} of integers")
    # x -> a x + b, composed: it is associative and does not commute. On integers modulo 251, exactly.
    def compose(first, second, datatype):
        a, b = (np.frombuffer(buffer, np.int64).reshape(-1, 2) for buffer in (first, second))
        b[:] = np.stack([a[:, 0] * b[:, 0] % 251, (a[:, 1] * b[:, 0] + b[:, 1]) % 251], 1)

    def composed(ranks, count):
        maps = [np.stack([np.arange(count) + 2 + r, np.arange(count) * r + 1], 1) for r in ranks]
        result = maps[0]
        for one in maps[1:]:
            result = np.stack([result[:, 0] * one[:, 0] % 251, (result[:, 1] * one[:, 0] + one[:, 1]) % 251], 1)
        return result

    op = MPI.Op.Create(compose, commute=False)
    for count in (1, 6, 600):
        mine = composed([rank], count)
        for root in roots(comm):
            comm.Reduce(mine, out := np.zeros_like(mine), op, root)
            if rank == root:
                equal(out, composed(range(size), count), "Reduce of an operation that does not commute")
        comm.Allreduce(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(size), count), "Allreduce of an operation that does not commute")
        comm.Scan(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(rank + 1), count), "Scan of an operation that does not commute")
        comm.Exscan(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(rank), count) if rank else np.zeros_like(mine), "Exscan")
        table = np.concatenate([mine] * size)
        comm.Reduce_scatter_block(table, out := np.zeros_like(mine), op)
        equal(out, composed(range(size), count), "Reduce_scatter_block of an operation that does not commute")
    op.Free()
    own = MPI.Op.Create(lambda a, b, t: np.maximum(np.frombuffer(a), np.frombuffer(b), out=np.frombuffer(b)), commute=True)
    comm.Allreduce(np.array([rank * 1.0] * 40), out := np.zeros(40), own)
    equal(out, np.full(40, size - 1.0), "an operation of one's own")
    own.Free()


def _pairs(MPI):
    return (
        (MPI.SUM, np.add), (MPI.PROD, np.multiply), (MPI.MAX, np.maximum), (MPI.MIN, np.minimum),
        (MPI.BAND, np.bitwise_and), (MPI.BOR, np.bitwise_or), (MPI.BXOR, np.bitwise_xor),
    )


def check_object_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    for root in roots(comm):
        at_root = rank == root
        equal(comm.bcast({"r": rank} if at_root else None, root), {"r": root}, "bcast")
        equal(comm.gather((rank,), root), [(r,) for r in range(size)] if at_root else None, "gather")
        parts = [f"part {r} of {root}" for r in range(size)] if at_root else None
        equal(comm.scatter(parts, root=root), f"part {rank} of {root}", "scatter")
        words = comm.reduce(f"{rank}-", root=root)  # "+" of texts does not commute
        equal(words, "".join(f"{r}-" for r in range(size)) if at_root else None, "reduce")
    equal(comm.allgather(rank * 3), [r * 3 for r in range(size)], "allgather")
    equal(comm.alltoall([(rank, r) for r in range(size)]), [(r, rank) for r in range(size)], "alltoall")
    equal(comm.allreduce(rank + 1, MPI.PROD), reduce(operator.mul, range(1, size + 1)), "allreduce")
    equal(comm.allreduce([rank]), list(range(size)), "allreduce of lists")
    equal(comm.allreduce({rank}, op=operator.or_), set(range(size)), "allreduce with a function")
    best = max(r % 2 for r in range(size))
    equal(comm.allreduce((rank % 2, rank), MPI.MAXLOC), (best, min(r for r in range(size) if r % 2 == best)), "MAXLOC")
    equal(comm.scan(f"{rank}."), "".join(f"{r}." for r in range(rank + 1)), "scan")
    equal(comm.exscan(f"{rank}."), "".join(f"{r}." for r in range(rank)) if rank else None, "exscan")
    try:
        comm.alltoall([0] * (size + 1))
    except ValueError:
        pass
    else:
        raise AssertionError("alltoall of too many items")


def check_nonblocking_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    Request, root = MPI.Request, size - 1
    total, table = sum(range(size)), np.arange(size)
    mine = np.array([rank])
    outs = [np.full(size, -1) for _ in range(8)]
    box, part, one, reduced, before, upto = mine.copy(), *(np.full(1, -1) for _ in range(5))
    requests = [
        comm.Ibarrier(),
        comm.Ibcast(box, root=root),
        comm.Igather(mine, outs[0] if rank == root else None, root),
        comm.Iscatter(table if rank == root else None, part, root),
        comm.Iallgather(mine, outs[1]),
        comm.Ialltoall(table + rank, outs[2]),
        comm.Iallreduce(mine, one),
        comm.Ireduce(mine, reduced if rank == root else None, MPI.SUM, root),
        comm.Iscan(mine, upto),
        comm.Iexscan(mine, before),
        comm.Iallgatherv(mine, [outs[3], [1] * size]),
        comm.Igatherv(mine, [outs[4], [1] * size] if rank == root else None, root),
        comm.Ialltoallv([table + rank, [1] * size], [outs[5], [1] * size]),
    ]
    comm.Sendrecv(mine, right, 1, room := np.zeros(1, int), left, 1)  # other messages may pass
    equal(int(room[0]), left, "a message beside collectives")
    equal(comm.allreduce(1), size, "a collective beside collectives")
    equal(Request.Waitall(requests[::-1]), True, "Waitall in another order")
    equal([int(x[0]) for x in (box, part, one)], [root, rank, total], "Ibcast, Iscatter, Iallreduce")
    equal(outs[1], table, "Iallgather")
    equal(outs[2], table + rank, "Ialltoall")
    equal(outs[3], table, "Iallgatherv")
    equal(outs[5], table + rank, "Ialltoallv")
    equal(int(upto[0]), sum(range(rank + 1)), "Iscan")
    equal(int(before[0]), sum(range(rank)) if rank else -1, "Iexscan")
    if rank == root:
        equal((outs[0].tolist(), outs[4].tolist(), int(reduced[0])), (table.tolist(), table.tolist(), total), "at root")
    requests = [
        comm.Ireduce_scatter_block(table * 1, one), comm.Iscatterv([table, [1] * size] if rank == 0 else None, part, 0),
        comm.Ireduce_scatter(table + 1, reduced, [1] * size),
    ]
    while not Request.Testall(requests):
        pass
    equal([int(x[0]) for x in (one, part, reduced)], [rank * size, rank, (rank + 1) * size], "by Testall")
