"""Run as ``mpiexec -n R python on_ranks_program.py OPTIONS``: one rank of a plan; see :mod:`.on_ranks`.

Rank 0 prints the run as JSON.
"""

import json
import sys


def make_case(plan, width: int, samples: int):
    """(Callable that makes the model, data, names of each stage's modules)."""
    import torch
    from torch import nn

    from labkit.training.data import DataSet
    from labkit.training.models.initial import initialise
    from labkit.training.models.transformer import Transformer

    numbers = torch.Generator().manual_seed(0)
    num_samples = samples * plan.num_microbatches
    if plan.num_slices > 1:
        length, num_tokens, num_blocks = 4 * plan.num_slices, 20, max(1, plan.num_stages - 1)
        tokens = torch.randint(0, num_tokens, (num_samples, length + 1), generator=numbers)
        inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
        data = DataSet("random tokens", inputs, targets, inputs[:0], targets[:0], num_tokens, num_tokens)
        return lambda: Transformer(num_tokens, length, None, width=64, num_blocks=num_blocks), data, None
    inputs = torch.randn(num_samples, width, generator=numbers)
    data = DataSet("random values", inputs, 0.1 * inputs.flip(1), inputs[:0], inputs[:0], width)

    def make_model():
        layers = []
        for _ in range(plan.num_stages):
            layers += [nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)]
        return initialise(nn.Sequential(*layers), 0)

    return make_model, data, [[str(3 * stage), str(3 * stage + 2)] for stage in range(plan.num_stages)]


def main() -> None:
    from dataclasses import replace

    import torch

    torch.set_num_threads(1)
    from mpi4py import MPI

    from labkit.training.options import TrainingOptions
    from labkit.training.pipeline.on_ranks import to_json
    from labkit.training.pipeline.plan import Plan
    from labkit.training.pipeline.simulate import StageTimes, duration
    from labkit.training.pipeline.strategy import train_pipeline
    from labkit.training.serial import train_serial

    comm, options = MPI.COMM_WORLD, json.loads(sys.argv[1])
    plan = Plan.parse(options["plan"])
    make_model, data, stages = make_case(plan, options["width"], options["samples"])
    table = None if options["times"] is None else StageTimes(*options["times"]).table(plan.num_stages, plan.num_slices)
    pause_s = None if table is None else lambda action: duration(table, action)
    training = TrainingOptions(
        num_steps=options["num_steps"], batch_size=len(data), learning_rate=0.02, num_micro_batches=plan.num_microbatches
    )
    model = make_model()
    report = train_pipeline(
        comm, model, data, training, plan=plan, partition=stages, pause_s=pause_s, progress=False,
        checkpointing=options["checkpointing"],
    )
    if comm.rank == 0:
        alone = make_model()
        train_serial(alone, data, training, progress=False, timeline=False)
        mine, theirs = (torch.cat([p.detach().flatten() for p in m.parameters()]).double() for m in (model, alone))
        run = replace(report.details, losses=report.losses, difference=float((mine - theirs).norm() / theirs.norm()))
        print(to_json(run), flush=True)


if __name__ == "__main__":
    main()
