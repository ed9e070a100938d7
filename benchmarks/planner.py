"""The planner's forecast of our own runs against the runs themselves: from one process and the network to ranks.

What may be expected: on a quiet machine a step is forecast within 15 %. Four ranks on two cores are the hard case, for ranks
that wait poll, and take a part of a core from those that compute; that part is measured, and simulated.
"""

import functools

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention

NUM_STEPS, NUM_TURNS = 6, 4
RUNS = {  # name -> model, batch, micro-batches, plan's settings (mesh by axis)
    "data parallel MLP, 2 ranks": ("mlp", 256, 1, {"dp": 2}, {}),
    "data parallel MLP, 4 ranks": ("mlp", 512, 1, {"dp": 4}, {}),
    "pipeline of 2, 1F1B transformer": ("transformer", 32, 8, {"pp": 2}, {}),
    "pipeline of 4, 1F1B transformer": ("transformer", 32, 8, {"pp": 4}, {}),
    "tensor parallel 2, transformer": ("transformer", 16, 1, {"tp": 2}, {}),
    "hybrid 2 x 2, transformer": ("transformer", 32, 4, {"dp": 2, "pp": 2}, {}),
}


def case(model):
    """(Model, data) of a size whose step takes some tenths of a second."""
    import torch

    from labkit.training.data import DataSet
    from labkit.training.models.mlp import MLP
    from labkit.training.models.transformer import Transformer

    numbers = torch.Generator().manual_seed(0)
    if model == "mlp":
        inputs, targets = torch.randn(512, 1024, generator=numbers), torch.randint(10, (512,), generator=numbers)
        return MLP((1024, 1024, 1024, 1024, 1024, 10)), DataSet("random", inputs, targets, inputs[:0], targets[:0], 10)
    tokens = torch.randint(1, 200, (128, 65), generator=numbers)
    inputs, targets = tokens[:, :-1].clone(), tokens[:, 1:].clone()
    data = DataSet("random tokens", inputs, targets, inputs[:0], targets[:0], 200, 200)
    return Transformer(200, 64, None, width=128, num_heads=4, num_blocks=8), data


@functools.cache
def run(name):
    """Forecast and measurement, and whether others used the machine."""
    from labkit.training.mesh import Mesh
    from labkit.training.options import TrainingOptions
    from labkit.training.planner.own_plan import OwnPlan
    from labkit.training.planner.own_runs import predict_and_measure

    kind, batch, micro, axes, settings = RUNS[name]
    model, data = case(kind)
    options = TrainingOptions(batch_size=batch, num_micro_batches=micro, learning_rate=1e-3)
    plan = OwnPlan(Mesh(**axes), **settings)
    with Contention() as contention:
        found = predict_and_measure(model, data, options, plan, num_steps=NUM_STEPS, num_turns=NUM_TURNS)
    return found, contention.busy


def compare(name):
    """Predicted and measured step in ms."""
    found, busy = run(name)
    return Comparison((1e3 * found.predicted.step_s,), (1e3 * found.measured.step_s,), busy)


def benchmarks():
    for name in RUNS:
        for sign, bound in (("<=", 1.15), (">=", 0.85)):
            yield Benchmark(
                f"step by forecast against measured: {name}", Goal(sign, bound), functools.partial(compare, name), unit="ms"
            )
