"""Run under mpiexec: the interruptible communicator gives what MPI and NumPy define.

Every check compares with a value computed here from the ranks alone, or with the plain
communicator. Prints ``conforms`` on rank 0 if nothing differed.
"""

import operator
import sys
from functools import reduce

import numpy as np
from mpi4py import MPI

from labkit.comm.interruptible.communicator import InterruptibleComm
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder
from labkit.comm.interruptible.requests import Prequest, Request
from labkit.comm.interruptible.windows import Win

TRACED = "--traced" in sys.argv
world = MPI.COMM_WORLD
rank, size = world.rank, world.size
right, left = (rank + 1) % size, (rank - 1) % size
comm = InterruptibleComm(world.Dup())
comm.bind(
    Monitor(rank, lambda data: None, oversubscribed=size > 2),
    members=tuple(range(size)),
    gate=world.Dup(),
    recorder=Recorder(rank) if TRACED else None,
)


def equal(actual, expected, what):
    same = np.array_equal(actual, expected) if isinstance(expected, np.ndarray) else actual == expected
    assert same, f"rank {rank} of {size}, {what}: {actual!r} is not {expected!r}"


# Point to point: every send with every receive, eager and rendezvous sizes, arrays and specs.
for count in (0, 1, 7, 5000, 300_000):
    for send in (comm.Isend, comm.Issend):
        data, room = np.arange(count) + 1000 * rank, np.full(count, -1)
        request = send(data, right, 3)
        status = MPI.Status()
        comm.Recv(room, left, 3, status)
        equal(request.Wait(), True, "Wait")
        equal(room, np.arange(count) + 1000 * left, f"{count} items")
        equal((status.source, status.tag, status.Get_count(MPI.INT64_T)), (left, 3, count), "status")
    room = np.full(count, -1)
    comm.Sendrecv(data, right, 1, room, left, 1)
    equal(room, np.arange(count) + 1000 * left, "Sendrecv")
    comm.Sendrecv_replace(data, right, 2, left, 2)
    equal(data, np.arange(count) + 1000 * left, "Sendrecv_replace")
    if size > 1:
        data = np.arange(count) + 1000 * rank
        if rank == 0:
            comm.Send([data, MPI.INT64_T], right, 4)
            comm.Ssend(data, dest=right, tag=5)
            comm.Send([data, count, MPI.INT64_T], right, 6)
            comm.ssend({"count": count}, right, 7)
        elif rank == 1:
            for tag in (4, 5, 6):
                room = np.full(count, -1)
                comm.Recv(room, source=MPI.ANY_SOURCE, tag=tag)
                equal(room, np.arange(count), f"tag {tag}")
            equal(comm.recv(), {"count": count}, "recv")

objects = [None, "text", {"rank": rank}, np.arange(50_000).tolist()]
for obj in objects:
    sending = comm.isend(obj, right, 8)
    status = MPI.Status()
    got = comm.recv(source=left, tag=8, status=status)
    sending.wait()
    equal(got, {"rank": left} if isinstance(obj, dict) else obj, "object")
    equal((status.source, status.tag), (left, 8), "object status")
equal(comm.sendrecv(rank, right, source=left), left, "sendrecv")
receiving = comm.irecv(source=left, tag=9)
comm.isend(rank * 2, right, 9).wait()
equal(receiving.wait(), left * 2, "irecv")
equal(comm.recv(source=MPI.PROC_NULL), None, "recv from nobody")
comm.Send(np.zeros(3), MPI.PROC_NULL)

# The Wait and Test families.
rooms = [np.full(2, -1) for _ in range(4)]
requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
for tag in (2, 0, 3, 1):
    comm.Send(np.array([rank, tag]), right, tag)
statuses = [MPI.Status() for _ in requests]
equal(Request.Waitall(requests, statuses), True, "Waitall")
equal([s.tag for s in statuses], [0, 1, 2, 3], "Waitall statuses")
for tag, room in enumerate(rooms):
    equal(room, np.array([left, tag]), "Waitall data")
requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
comm.Send(np.array([rank, 2]), right, 2)
equal(Request.Waitany(requests), 2, "Waitany")
for tag in (0, 1, 3):
    comm.Send(np.array([rank, tag]), right, tag)
done = []
while len(done) < 3:
    done += Request.Waitsome(requests)
equal(sorted(done), [0, 1, 3], "Waitsome")
equal(Request.Waitsome(requests), None, "Waitsome of nothing")
equal(Request.Waitall([]), True, "Waitall of nothing")
requests = [comm.isend(rank, right, 5), comm.irecv(source=left, tag=5)]
equal(Request.waitall(requests), [None, left], "waitall")
request = comm.Irecv(rooms[0], left, 6)
comm.Send(np.array([rank, 6]), right, 6)
while not request.Test():
    pass
equal(rooms[0], np.array([left, 6]), "Test")
equal(len(comm.monitor.active), 0, "no request is left open")

# A request that is complete may be waited for again.
request = comm.Irecv(rooms[0], left, 7)
comm.Isend(np.array([rank, 7]), right, 7).Wait()
request.Wait()
equal((request.Wait(), request.Test()), (True, True), "Wait again")

# Persistent requests.
room = np.zeros(3, int)
sender, receiver = comm.Send_init(data := np.zeros(3, int), right, 1), comm.Recv_init(room, left, 1)
assert isinstance(sender, MPI.Prequest)
for turn in range(3):
    data[:] = rank + 10 * turn
    Prequest.Startall([receiver, sender])
    Request.Waitall([receiver, sender])
    equal(room, np.full(3, left + 10 * turn), "persistent")
sender.Free()
receiver.Free()

# Probes.
sending = comm.Isend(np.arange(5), right, 11)
status = MPI.Status()
equal(comm.Probe(MPI.ANY_SOURCE, 11, status), True, "Probe")
equal((status.source, status.Get_count(MPI.INT64_T)), (left, 5), "Probe status")
message = comm.Mprobe(left, 11)
message.Recv(room := np.zeros(5, int))
equal(room, np.arange(5), "Mprobe")
sending.Wait()
sending = comm.isend("probed", right, 12)
equal(comm.mprobe(left, 12).recv(), "probed", "mprobe")
sending.wait()
equal(comm.Iprobe(), False, "Iprobe")
equal(comm.Improbe(), None, "Improbe")

# Collectives, with every root.
for count in (1, 5, 4000):
    mine = np.arange(count) * 1.0 + rank
    everyone = [np.arange(count) * 1.0 + r for r in range(size)]
    for root in range(size):
        box = mine.copy()
        comm.Bcast(box, root=root)
        equal(box, everyone[root], "Bcast")
        out = np.empty(count) if rank == root else None
        comm.Reduce(mine, out, MPI.MAX, root)
        if rank == root:
            equal(out, np.maximum.reduce(everyone), "Reduce")
        out = np.empty((size, count)) if rank == root else None
        comm.Gather(mine, out, root)
        if rank == root:
            equal(out, np.array(everyone), "Gather")
        comm.Scatter(out, box, root)
        equal(box, mine, "Scatter")
        equal(comm.bcast({"r": rank}, root), {"r": root}, "bcast")
        equal(comm.gather(rank, root), list(range(size)) if rank == root else None, "gather")
        parts = [f"part {r} of {root}" for r in range(size)] if rank == root else None
        equal(comm.scatter(parts, root=root), f"part {rank} of {root}", "scatter")
        words = comm.reduce(f"{rank}-", root=root)
        equal(words, "".join(f"{r}-" for r in range(size)) if rank == root else None, "reduce")
    out = np.empty(count)
    comm.Allreduce(mine, out)
    equal(out, sum(everyone), "Allreduce")
    comm.Allreduce(MPI.IN_PLACE, mine, MPI.SUM)
    equal(mine, sum(everyone), "Allreduce in place")
    mine[:] = everyone[rank]
    out = np.empty((size, count))
    comm.Allgather(mine, out)
    equal(out, np.array(everyone), "Allgather")
    comm.Alltoall(np.array(everyone), out)
    equal(out, np.tile(everyone[rank], (size, 1)), "Alltoall")
    out = np.empty(count)
    comm.Scan(mine, out)
    equal(out, sum(everyone[: rank + 1]), "Scan")
    comm.Reduce_scatter_block(np.array(everyone), out)
    equal(out, everyone[rank] * size, "Reduce_scatter_block")
comm.Barrier()
comm.barrier()
counts = np.arange(size) + 1
out = np.empty(counts.sum(), int)
comm.Allgatherv(np.full(rank + 1, rank), [out, counts])
equal(out, np.repeat(np.arange(size), counts), "Allgatherv")
equal(comm.allgather(rank * 3), [r * 3 for r in range(size)], "allgather")
equal(comm.alltoall([(rank, r) for r in range(size)]), [(r, rank) for r in range(size)], "alltoall")
equal(comm.allreduce(rank + 1, MPI.PROD), reduce(operator.mul, range(1, size + 1)), "allreduce")
equal(comm.allreduce((rank % 2, rank), MPI.MAXLOC), max((r % 2, -r) for r in range(size))[0:1]
      + (min(r for r in range(size) if r % 2 == max(q % 2 for q in range(size))),), "MAXLOC")
equal(comm.scan(rank), sum(range(rank + 1)), "scan")
equal(comm.exscan(rank), sum(range(rank)) if rank else None, "exscan")
request = comm.Iallreduce(np.array([rank]), out := np.zeros(1, int))
request.Wait()
equal(out[0], sum(range(size)), "Iallreduce")
own_op = MPI.Op.Create(lambda a, b, t: np.copyto(np.frombuffer(b, float), 2 * np.frombuffer(a, float)
                                                 + np.frombuffer(b, float)), commute=False)
expected, out = np.empty(1), np.empty(1)
world.Allreduce(np.array([rank + 1.0]), expected, own_op)
comm.Allreduce(np.array([rank + 1.0]), out, own_op)
equal(out, expected, "own op")

# Communicators made from communicators.
twin = comm.Dup()
equal(twin.allreduce(1), size, "Dup")
half = twin.Split(color=rank % 2, key=-rank)
members = sorted((r for r in range(size) if r % 2 == rank % 2), reverse=True)
equal(half.members, tuple(members), "Split members")
equal((half.rank, half.allgather(rank)), (members.index(rank), members), "Split")
contexts = world.allgather((half.context, half.members))
equal(len(set(contexts)), len({m for _, m in contexts}), "one context a communicator")
equal(comm.Split(MPI.UNDEFINED if rank else 0) == MPI.COMM_NULL, rank != 0, "Split undefined")
node = comm.Split_type(MPI.COMM_TYPE_SHARED)
equal(node.size, size, "Split_type")
cart = comm.Create_cart([size], periods=[True])
equal(cart.Shift(0, 1), (left, right), "Cartesian shift")
out = np.zeros(2, int)
cart.Neighbor_allgather(np.array([rank]), out)
equal(out, np.array([left, right]), "Neighbor_allgather")
equal(cart.sendrecv(rank, right, source=left), left, "in a Cartesian communicator")
grid = comm.Create_cart([size, 1])
row = grid.Sub([True, False])
equal((row.size, row.allgather(rank)), (size, list(range(size))), "Sub")
first = comm.Create(comm.group.Incl([0]))
equal(first == MPI.COMM_NULL, rank != 0, "Create")
if rank < (size + 1) // 2:
    group = comm.group.Incl(list(range((size + 1) // 2)))
    equal(comm.Create_group(group).allreduce(1), (size + 1) // 2, "Create_group")
half.Free()
twin.Free()

# One-sided communication.
win = Win.Allocate(8 * size, 8, comm=comm)
memory = np.frombuffer(win, float)
memory[:] = -1
win.Fence()
for target in range(size):
    win.Put(np.array([10.0 * rank]), target, target=rank)
win.Fence()
equal(memory, 10.0 * np.arange(size), "Put")
win.Lock(0)
win.Accumulate(np.array([1.0]), 0, target=0, op=MPI.SUM)
win.Unlock(0)
comm.Barrier()
win.Lock(0, MPI.LOCK_SHARED)
win.Get(got := np.zeros(1), 0)
win.Unlock(0)
equal(got[0], float(size), "Accumulate and Get")
win.Free()
shared = Win.Allocate_shared(8 if rank == 0 else 0, 8, comm=node)
memory = np.frombuffer(shared.Shared_query(0)[0], float)
if rank == 0:
    memory[0] = 42
node.Barrier()
equal(memory[0], 42.0, "shared window")
shared.Free()

# Errors of MPI stay exceptions.
for call in (
    lambda: comm.Send(np.zeros(1), dest=size),
    lambda: comm.Send(np.zeros(1), dest=0, tag=-5),
    lambda: comm.Bcast(np.zeros(1), root=size),
    lambda: comm.bcast(1, root=size),
):
    try:
        call()
    except MPI.Exception:
        pass
    else:
        raise AssertionError("an error of MPI was swallowed")

equal(comm.raw.Get_rank(), rank, "raw")
assert type(comm.raw) is MPI.Intracomm
if TRACED:
    record = comm.recorder.record()
    assert len(record.spans) > 100 and len(record.endpoints) > 50
    sent = sum(end[3] for end in record.endpoints if end[0] == "send")
    received = sum(end[3] for end in record.endpoints if end[0] == "recv")
    equal(world.allreduce(sent), world.allreduce(received), "bytes sent and received")
if world.allreduce(1) == size and rank == 0:
    print("conforms")
