"""Run by tensor_parallel.py under mpiexec -n 2: two products forward and backward, whole on one rank and divided over two.

Arguments: width, hidden, tokens, name of the all-reduce, turns, passes of a turn. Every rank has one thread. Prints JSON.
While rank 0 computes alone, rank 1 sleeps: it neither computes nor polls.
"""

import gc
import json
import sys
import time

import torch
from mpi4py import MPI

from labkit.training.serial import Alone
from labkit.training.tensor_parallel import ParallelGroup, ParallelMLP

SLEEP_S = 5e-4


def passes(mlp, values, num):
    """Seconds of a forward and backward pass."""
    started = time.perf_counter()
    for _ in range(num):
        for parameter in mlp.parameters():
            parameter.grad = None
        values.grad = None
        mlp(values).square().sum().backward()
    return (time.perf_counter() - started) / num


def main():
    comm = MPI.COMM_WORLD
    torch.set_num_threads(1)
    width, hidden, tokens = map(int, sys.argv[1:4])
    algorithm, (num_turns, num_passes) = sys.argv[4], map(int, sys.argv[5:7])
    group = ParallelGroup(comm, allreduce=algorithm)
    divided = ParallelMLP(width, hidden, group)
    whole = ParallelMLP(width, hidden, ParallelGroup(Alone())) if comm.rank == 0 else None
    values = torch.randn(tokens, width, generator=torch.Generator().manual_seed(1)).requires_grad_()

    def alone():
        if comm.rank == 0:
            seconds = passes(whole, values, num_passes)
            comm.send(None, 1)
            return seconds
        while not comm.Iprobe(0):
            time.sleep(SLEEP_S)
        return comm.recv(source=0)

    def together():
        comm.Barrier()
        return comm.reduce(passes(divided, values, num_passes), MPI.MAX)

    group.calls.clear()
    together()
    calls = [(call.kind, call.is_backward, call.num_bytes) for call in group.calls[:2]]
    found = values.grad.clone(), [p.grad.clone() for p in divided.parameters()]
    alone()
    difference = None
    if comm.rank == 0:
        parts = [layer.shards["weight"].part(p, 0) for layer, p in (
            (divided.widen, whole.widen.weight.grad), (divided.narrow, whole.narrow.weight.grad))]
        pairs = [(found[0], values.grad), (found[1][0], parts[0]), (found[1][2], parts[1])]
        difference = max(float((a - b).norm() / b.norm()) for a, b in pairs)
    del found
    samples = {"one": [], "two": []}
    gc.disable()
    for _ in range(num_turns):
        samples["one"].append(alone())
        samples["two"].append(together())
    wires = []
    for _ in range(2 * num_turns):
        gradient = values.detach().clone()
        comm.Barrier()
        started = time.perf_counter()
        group.all_reduce(gradient, group.partial_key)
        wires.append(comm.reduce(time.perf_counter() - started, MPI.MAX))
    if comm.rank == 0:
        print(json.dumps({
            "samples": samples, "difference": difference, "calls": calls, "allreduce_s": sorted(wires)[len(wires) // 2],
        }))


if __name__ == "__main__":
    main()
