"""Run under mpiexec: the interruptible communicator does what every communicator does, and more.

The common checks are those of tests/comm/conformance; here is what only this communicator has. Prints
``conforms`` on rank 0 if nothing differed. With ``--mpi4py`` the body runs on mpi4py's own communicator.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parents[1]))
from conformance import CHECKS, check
from conformance.common import equal

from labkit.comm.interruptible.communicator import InterruptibleComm
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder
from labkit.comm.interruptible.requests import Prequest, Request
from labkit.comm.interruptible.windows import Win
from labkit.mpi.collectives import shared_vectors
from labkit.mpi.collectives.allgather import allgather_shared_memory
from labkit.mpi.collectives.allreduce_nodes import allreduce_shared_memory
from labkit.mpi.collectives.shared_vectors import room_of

TRACED = "--traced" in sys.argv
world = MPI.COMM_WORLD
rank, size = world.rank, world.size
right, left = (rank + 1) % size, (rank - 1) % size

if "--mpi4py" in sys.argv:
    check(world.Dup(), MPI)
    world.Barrier()
    if rank == 0:
        print("conforms")
    sys.exit()

comm = InterruptibleComm(world.Dup())
comm.bind(
    Monitor(rank, lambda data: None, oversubscribed=size > 2),
    members=tuple(range(size)),
    gate=world.Dup(),
    recorder=Recorder(rank) if TRACED else None,
)
# As in a cell, where MPI.Request is the interruptible class.
names = SimpleNamespace(**{name: getattr(MPI, name) for name in dir(MPI)})
names.Request, names.Prequest = Request, Prequest
check(comm, names, [name for name in CHECKS if name != "check_truncation"])
if TRACED:
    record = comm.recorder.record()
    assert len(record.spans) > 100 and len(record.endpoints) > 50
    sent = sum(end[3] for end in record.endpoints if end[0] == "send")
    received = sum(end[3] for end in record.endpoints if end[0] == "recv")
    equal(world.allreduce(sent), world.allreduce(received), "bytes sent and received")
check(comm, names, ["check_truncation"])  # of such a message, only one end is recorded
equal(len(comm.monitor.active), 0, "no request is left open")
assert isinstance(comm.Send_init(np.zeros(1), right), MPI.Prequest)

# Every kind of send can be started, and waited for so that an interrupt ends it.
MPI.Attach_buffer(bytearray(4096 + 4 * MPI.BSEND_OVERHEAD))
for start in (comm.Send_init, comm.Ssend_init, comm.Bsend_init, comm.Rsend_init):
    room, arriving = np.zeros(2), comm.Recv_init(found := np.zeros(2), left, 9)
    request = start(room, right, 9)
    assert isinstance(request, Prequest), start
    for number in (1.0, 2.0):
        arriving.Start()
        comm.Barrier()  # a send that asks for a receive that waits finds one
        room[:] = rank + number
        request.Start()
        request.Wait()
        arriving.Wait()
        equal(found.tolist(), [left + number] * 2, f"{start} {number}")
request = comm.ibsend({"from": rank}, right, 9)
assert isinstance(request, Request)
equal(comm.recv(None, left, 9), {"from": left}, "ibsend")
request.wait()
MPI.Detach_buffer()

comm.Sendrecv_replace(None, MPI.PROC_NULL, source=MPI.PROC_NULL)

# Persistent collectives, started again and again.
total, room = np.zeros(2), np.zeros(2)
gathered = np.zeros(2 * size)
for request, result, wanted in (
    (comm.Allreduce_init(room, total), total, lambda n: [sum(range(size)) + n * size] * 2),
    (comm.Allgather_init(room, gathered), gathered, lambda n: [r + n for r in range(size) for _ in range(2)]),
    (comm.Bcast_init(total, root=size - 1), total, lambda n: [-n] * 2),
    (comm.Scan_init(room, total), total, lambda n: [sum(r + n for r in range(rank + 1))] * 2),
):
    assert isinstance(request, Prequest), request
    for number in (1.0, 2.0):
        room[:] = rank + number
        if rank == size - 1:
            total[:] = -number
        request.Start()
        request.Wait()
        equal(result.tolist(), wanted(number), "a persistent collective")
    request.Free()

# Communicators and their identities.
half = comm.Split(color=rank % 2, key=-rank)
equal(half.members, tuple(sorted((r for r in range(size) if r % 2 == rank % 2), reverse=True)), "Split members")
contexts = world.allgather((half.context, half.members))
equal(len(set(contexts)), len({m for _, m in contexts}), "one context a communicator")
half.Free()
cart = comm.Create_cart([size], periods=[True])
out = np.zeros(2, int)
cart.Neighbor_allgather(np.array([rank]), out)
equal(out, np.array([left, right]), "Neighbor_allgather")
request = cart.Neighbor_allgather_init(np.array([rank + 10]), out)
assert isinstance(request, Prequest), request
request.Start()
request.Wait()
equal(out, np.array([left, right]) + 10, "Neighbor_allgather_init")
first = comm.Create(comm.group.Incl([0]))
equal(first == MPI.COMM_NULL, rank != 0, "Create")
if rank < (size + 1) // 2:
    group = comm.group.Incl(list(range((size + 1) // 2)))
    equal(comm.Create_group(group).allreduce(1), (size + 1) // 2, "Create_group")
pairs = [(members, comm.Create_group(comm.group.Incl(members))) for members in ([0, 1], [0, size - 1], [0, 1]) if size > 2 and rank in members]
contexts = {pair.context for _, pair in pairs}
equal(len(contexts), len(pairs), "one context for each of several groups with the same first rank")
seen = world.allgather([(i, members, pair.context) for i, (members, pair) in enumerate(pairs)])
of_rank_0 = {context for _, _, context in seen[0]}
assert all(context in of_rank_0 for row in seen for _, _, context in row), "members of a group differ about its context"
for _, pair in pairs:
    pair.Free()

# A receive that ended with an error is told by its own wait, and by nothing else.
short = comm.Irecv(np.zeros(1), left, 8)
comm.Barrier()
comm.Send(np.zeros(3), right, 8)
comm.Barrier()
equal(short.incomplete(), None, "a truncated receive waits for nothing")
try:
    short.Wait()
except MPI.Exception as error:
    equal(error.Get_error_class(), MPI.ERR_TRUNCATE, "its own wait tells")
else:
    raise AssertionError("a truncated receive was silent")
anybody = comm.Irecv(np.zeros(1), MPI.ANY_SOURCE, MPI.ANY_TAG)
comm.Barrier()
comm.Send(np.zeros(3), right, 8)
try:
    anybody.Wait()
except MPI.Exception as error:
    assert "rank -" not in str(error) and "tag -" not in str(error) and "24 bytes" in str(error), str(error)
comm.Barrier()

# The communicator of a cell may be freed: its gate is that of the next cell.
gate = world.Dup()
cell = InterruptibleComm(world.Dup())
cell.bind(comm.monitor, members=tuple(range(size)), gate=gate)
cell.Free()
following = InterruptibleComm(world.Dup())
following.bind(comm.monitor, members=tuple(range(size)), gate=gate)
equal(following.Dup().allreduce(1), size, "the gate outlives the communicator of a cell")

# So does the room for vectors on their way through shared memory, of which there is one for all cells.
x = np.ones(3)
allreduce_shared_memory(following, MPI.IN_PLACE, x)
equal(x.tolist(), [size] * 3, "an all-reduce through shared memory")
assert room_of(following, "cell") is gate.Get_attr(shared_vectors._key()) is not None
following.Free()
last = InterruptibleComm(world.Dup())
last.bind(comm.monitor, members=tuple(range(size)), gate=gate)
assert room_of(last, "cell") is gate.Get_attr(shared_vectors._key()), "the room ended with a cell"
allreduce_shared_memory(last, MPI.IN_PLACE, x)
equal(x.tolist(), [size**2] * 3, "an all-reduce in the next cell")

# A cell may end on some ranks in the middle of a call: they use the other half of the room, which the next cell forgets.
for number in (comm.monitor.cell_number, comm.monitor.cell_number + 1):
    comm.monitor.cell_number = number
    for step in range(5):
        x = np.full(size, -1.0)
        allgather_shared_memory(last, np.array([rank + 10.0 * step]), x)
        equal(x, np.arange(size) + 10.0 * step, "an all-gather in the next cell")
    if rank % 2:
        room_of(last, "cell")._half ^= 1

node = comm.Split_type(MPI.COMM_TYPE_SHARED)
equal(node.size, size, "Split_type")

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

equal(comm.raw.Get_rank(), rank, "raw")
assert type(comm.raw) is MPI.Intracomm
if world.allreduce(1) == size and rank == 0:
    print("conforms")
