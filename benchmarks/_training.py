"""Run by training.py under mpiexec -n 2: steps of several strategies in turn, one model and one data set. Prints JSON.

Arguments: width and number of the hidden layers, samples of a batch, turns, steps of a turn, the device. Every rank has
one thread; on "cuda" the ranks share a GPU, and nothing is delayed.
A step takes from its start on the first rank to its end on the last, on the clock of rank 0.
"""

import gc
import json
import sys

import numpy as np
import torch
from mpi4py import MPI

from labkit.training.data import make_data
from labkit.training.data_parallel.bucketed import Bucketed
from labkit.training.data_parallel.overlapped import Overlapped
from labkit.training.data_parallel.reducers import Delayed, make_reducer
from labkit.training.data_parallel.torch_ddp import TorchDDP
from labkit.training.models.mlp import MLP
from labkit.training.options import TrainingOptions
from labkit.training.trainer import Trainer

DELAY_S_PER_BYTE = 2e-9  # a link of 0.5 GB/s
NUM_CHECKED = 2  # steps


class NoCommunication(Bucketed):
    """The same step on the same buckets, and nothing is sent."""

    def reduce_gradients(self):
        pass


comm = MPI.COMM_WORLD
width, num_layers, batch_size, num_turns, num_steps = map(int, sys.argv[1:6])
device = sys.argv[6]
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(3)
inputs, targets = torch.randn(1024, width, generator=generator), torch.randint(10, (1024,), generator=generator)
data = make_data(inputs, targets, num_classes=10, test_share=0.01)
options = TrainingOptions(
    num_steps=10**6, batch_size=batch_size, learning_rate=0.01, momentum=0.9, check_gradients=False
)
strategies = {"ours": Overlapped(), "torch": TorchDDP(), "alone": NoCommunication()}
if device == "cpu":
    delayed = Delayed(make_reducer("auto"), 0.0, delay_s_per_byte=DELAY_S_PER_BYTE)
    strategies["delayed"] = Overlapped(algorithm=delayed)
trainers = {
    name: Trainer(
        comm, MLP((width,) * (num_layers + 1) + (10,)).to(device), data, options, strategy=strategy, timeline=False
    )
    for name, strategy in strategies.items()
}


def weights(name):
    return torch.cat([p.detach().reshape(-1).cpu() for p in trainers[name].model.parameters()])


def seconds(name):
    """Of a step: the mean of a turn."""
    trainer = trainers[name]
    comm.Barrier()
    trainer.run(num_steps)
    starts, ends = np.array(trainer.recorder.steps).T
    return (comm.allreduce(int(ends[-1]), MPI.MAX) - comm.allreduce(int(starts[0]), MPI.MIN)) / num_steps / 1e9


before = weights("ours")
reports = {name: trainer.run(NUM_CHECKED) for name, trainer in trainers.items()}
moved = float((weights("torch") - before).abs().max())
others = [name for name in trainers if name != "torch"]
differences = {name: float((weights(name) - weights("torch")).abs().max()) / moved for name in others}
equal = {name: report.replicas_are_equal for name, report in reports.items()}
for name in trainers:
    seconds(name)
samples = {name: [] for name in trainers}
gc.disable()
for _ in range(num_turns):
    for name in trainers:
        samples[name].append(seconds(name))
buckets = [bucket.num_bytes for bucket in strategies["ours"].buckets]
for trainer in trainers.values():
    trainer.close()
if comm.rank == 0:
    print(json.dumps({
        "samples": samples, "differences": differences, "equal": equal, "gradient_bytes": sum(buckets),
        "num_buckets": len(buckets), "delay_s": DELAY_S_PER_BYTE * sum(buckets),
    }))
