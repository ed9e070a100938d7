"""A program whose timeline is the same on real and on simulated ranks, but for the times. Under mpiexec, prints it."""

import json
import sys

import numpy as np


def main(comm, MPI):
    rank, size = comm.rank, comm.size
    right, left = (rank + 1) % size, (rank - 1) % size
    data, room = np.arange(4.0), np.zeros(6)
    comm.Sendrecv(data, right, 1, room, left, 1)
    comm.Sendrecv_replace(data, right, 2, left, 2)
    request = comm.Isend(data, right, 3)
    comm.Recv(room, left, 3)
    request.Wait()
    requests = [comm.Irecv(room, left, 4), comm.Isend([data, 2, MPI.DOUBLE], right, 4)]
    MPI.Request.Waitall(requests)
    if rank == 0:
        comm.Ssend(data, right, 5)
        comm.send({"a": 1}, right, 6)
    elif rank == 1:
        comm.Recv(room, MPI.ANY_SOURCE, 5)
        comm.Probe(0, 6)
        comm.recv(source=0, tag=6)
    sender, receiver = comm.Send_init(data, right, 7), comm.Recv_init(room, left, 7)
    for _ in range(2):
        receiver.Start()
        sender.Start()
        MPI.Request.Waitall([receiver, sender])
    comm.Barrier()
    comm.Bcast(data, root=1)
    comm.Allreduce(data, np.zeros(4))
    comm.Gather(data, np.zeros(4 * size) if rank == 0 else None)
    comm.Iallreduce(data, np.zeros(4)).Wait()
    half = comm.Split(rank % 2)
    half.Barrier()
    half.Sendrecv(data, (half.rank + 1) % half.size, 8, room, (half.rank - 1) % half.size, 8)
    comm.Send(data, MPI.PROC_NULL)
    comm.Recv(data, MPI.PROC_NULL)


def shape(record):
    """Everything but times, lines and the identity of sub-communicators; ends of messages in any order."""
    spans = [[name, kind, peer, tag, num_bytes, context.count("/")] for
             name, kind, _, _, peer, tag, num_bytes, context, *_ in record.spans]
    ends = sorted([direction, peer, tag, num_bytes, context.count("/"), spans[span][0]]
                  for direction, peer, tag, num_bytes, context, _, _, _, span in record.endpoints)
    return [spans, ends]


if __name__ == "__main__":
    from types import SimpleNamespace

    from mpi4py import MPI

    from labkit.comm.interruptible.communicator import InterruptibleComm
    from labkit.comm.interruptible.monitor import Monitor
    from labkit.comm.interruptible.recorder import Recorder
    from labkit.comm.interruptible.requests import Request

    world = MPI.COMM_WORLD
    comm = InterruptibleComm(world.Dup())
    comm.bind(Monitor(world.rank, lambda data: None, oversubscribed=True), members=tuple(range(world.size)),
              gate=world.Dup(), recorder=Recorder(world.rank))
    names = SimpleNamespace(**{name: getattr(MPI, name) for name in dir(MPI)})
    names.Request = Request
    main(comm, names)
    shapes = world.gather(shape(comm.recorder.record()))
    if world.rank == 0:
        json.dump(shapes, sys.stdout)
