"""Run under mpiexec: the interruptible communicator does what every communicator does, and more.

The common body is tests/comm/conformance.py; here is what only this communicator has. Prints
``conforms`` on rank 0 if nothing differed. With ``--mpi4py`` the body runs on mpi4py's own communicator.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parents[1]))
from conformance import CHECKS, check, equal

from labkit.comm.interruptible.communicator import InterruptibleComm
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder
from labkit.comm.interruptible.requests import Prequest, Request
from labkit.comm.interruptible.windows import Win

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
first = comm.Create(comm.group.Incl([0]))
equal(first == MPI.COMM_NULL, rank != 0, "Create")
if rank < (size + 1) // 2:
    group = comm.group.Incl(list(range((size + 1) // 2)))
    equal(comm.Create_group(group).allreduce(1), (size + 1) // 2, "Create_group")
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
