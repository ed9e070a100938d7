"""Run by pipeline.py on MPI ranks: ``_pipeline.py TURNS STEPS KIND``; rank 0 prints JSON.

KIND "compute": a model of equal layers in as many stages as ranks, and the same in one process while the others sleep.
KIND "sleep": stages that sleep, so that four ranks need no four cores; the executor's own work is real.
"""

import json
import sys
import time

import torch
from mpi4py import MPI
from torch import nn

from labkit.training.data import DataSet
from labkit.training.models.initial import initialise
from labkit.training.options import TrainingOptions
from labkit.training.pipeline.simulate import StageTimes, duration
from labkit.training.pipeline.strategy import train_pipeline
from labkit.training.serial import train_serial

NUM_MICRO_BATCHES, SCHEDULES = 8, ("1f1b", "zb-h1")
SLEEPS = StageTimes(0.010, 0.010, 0.008)


def meet(comm) -> None:
    """A barrier that leaves the cores to others."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(0.002)


def main() -> None:
    torch.set_num_threads(1)
    comm, (turns, steps, kind) = MPI.COMM_WORLD, sys.argv[1:]
    width, samples, layers = (1024, 128, 4) if kind == "compute" else (64, 16, 1)
    numbers = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples * NUM_MICRO_BATCHES, width, generator=numbers)
    data = DataSet("random", inputs, inputs.clone(), inputs[:0], inputs[:0], width)
    options = TrainingOptions(
        num_steps=int(steps), batch_size=len(data), num_micro_batches=NUM_MICRO_BATCHES, learning_rate=0.01,
        shuffle=False,
    )
    pairs = [nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(comm.size * layers)]
    names = [[str(layers * stage + k) for k in range(layers)] for stage in range(comm.size)]
    model = initialise(nn.Sequential(*pairs), 0)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    table = SLEEPS.table(comm.size, 1)
    pause_s = None if kind == "compute" else lambda action: duration(table, action)
    found = {"measured": {}, "simulated": {}, "whole": {}, "alone": [], "losses": []}
    for _ in range(int(turns)):
        for schedule in SCHEDULES:
            model.load_state_dict(start)
            meet(comm)
            report = train_pipeline(
                comm, model, data, options, plan=schedule, partition=names, pause_s=pause_s, progress=False,
                timeline=False,
            )
            found["measured"].setdefault(schedule, []).append(report.details.measured.step_s)
            found["simulated"].setdefault(schedule, []).append(report.details.simulated.step_s)
            found["whole"].setdefault(schedule, []).append(float(report.times.step_s[:, 1:].max(axis=0).min()))
        if kind == "compute":
            if comm.rank == 0:
                model.load_state_dict(start)
                alone = train_serial(model, data, options, progress=False, timeline=False)
                found["alone"].append(float(alone.times.step_s[0, 1:].min()))
                found["losses"].append([list(alone.losses), list(report.losses)])
            meet(comm)
    if comm.rank == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
