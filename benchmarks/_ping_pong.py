"""Run by comm.py under mpiexec: plain, interruptible and traced ping-pong, in turn. Prints JSON."""

import json
import time

import numpy as np
from mpi4py import MPI

from labkit.comm.interruptible.communicator import InterruptibleComm
from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder

ROUNDS = 15
world = MPI.COMM_WORLD


def interruptible(recorder=None):
    comm = InterruptibleComm(world.Dup())
    members = tuple(range(world.size))
    comm.bind(Monitor(world.rank, lambda data: None), members=members, gate=world.Dup(), recorder=recorder)
    return comm


def half_round_trip_s(comm, num_bytes, iterations):
    buffer = np.full(num_bytes, comm.rank, np.uint8)
    send, receive, me = comm.Send, comm.Recv, comm.rank
    world.Barrier()
    start = time.perf_counter()
    for _ in range(iterations):
        if me == 0:
            send(buffer, 1)
            receive(buffer, 1)
        else:
            receive(buffer, 0)
            send(buffer, 0)
    seconds = (time.perf_counter() - start) / iterations / 2
    assert (buffer == 0).all(), "the last message came from rank 0"
    return seconds


kinds = {"raw": world.Dup(), "ours": interruptible(), "traced": interruptible(Recorder(world.rank))}
samples = {}
for num_bytes, iterations in ((8, 3000), (2**20, 60), (2**24, 6)):
    times = {name: [] for name in kinds}
    for turn in range(ROUNDS + 2):
        for name, comm in kinds.items():
            if name == "traced":  # or the recorder would be full one day
                comm.recorder.spans.clear()
            seconds = half_round_trip_s(comm, num_bytes, iterations)
            if turn >= 2:
                times[name].append(seconds)
    samples[num_bytes] = times
if world.rank == 0:
    print(json.dumps(samples))
