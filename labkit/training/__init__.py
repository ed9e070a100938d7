"""Training a model on many ranks: every strategy with one trainer, each proved equal to one process.

=================  ===========================================================================================
file               what it has
=================  ===========================================================================================
data.py            digits, film reviews as words and as characters; datasets/ has the files
sampling.py        which samples come into which batch, and which rank gets which part
models/            MLP, CNN, transformer; first values that depend on names and a seed alone
losses.py          the loss of each sample, and right answers
options.py         what a run is told; the optimizer
learning_rate.py   scaled with the batch, and warmed up
strategies.py      the protocol of strategies, and their names
data_parallel/     gradients averaged over ranks, from one all-reduce a parameter to overlap with backward
batch_scaling.py   large batches, with and without warm-up: an experiment
in_pass.py         communication inside forward and backward
batch_norm.py      synchronised batch norm: statistics of the whole batch
mixed.py           mixed precision with loss scaling
partition/         a model traced, and cut into stages
pipeline/          stages on ranks: schedules as plans, their rules, simulation and execution
tensor_parallel/   layers divided over ranks
mesh.py, hybrid/   replicas x stages x parts of layers
planner/           memory, time and price of a run before it is started
feeding.py         batches fetched ahead
step.py            one step, shared by all strategies
trainer.py         the loop of steps: ``train(comm, model, data, options, strategy="overlapped")``
collect.py         the end of a run: accuracy, and all ranks' books in one report
serial.py          one process: the oracle
compare.py         one table of all strategies: ``compare(comm, make_model, data, options)``; strategy_table.py is the table
compare_ranks.py   the same on MPI ranks of its own, started and ended by a notebook
hooks.py           what is called between steps
agreement.py       the ranks agree on model, data and options, or all raise
recording.py       who did what when; timing.py splits it, memory.py, report.py has all of it, progress.py shows it
=================  ===========================================================================================

Importing this package imports no torch; its names come when they are used::

    from labkit.training import TrainingOptions, load_digits, make_model, train
"""

import importlib

_NAMES = {
    "DataSet": "data", "load_mnist": "data", "load_digits": "data", "load_reviews": "data", "load_characters": "data",
    "make_data": "data", "ShardedSampler": "sampling", "make_model": "models.registry", "TrainingOptions": "options",
    "TrainingReport": "report", "TrainingHook": "hooks", "Strategy": "strategies", "STRATEGIES": "strategies",
    "train_pipeline": "pipeline.strategy", "train": "trainer", "Trainer": "trainer", "train_serial": "serial", "broadcast_model": "agreement",
}
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__():
    return sorted([*globals(), *_NAMES])
