"""On simulated ranks: pipelines equal one process, bit by bit where the order of sums is the same; bugs are found."""

import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.training.data_parallel.equivalence import check_equivalence, run_strategy
from labkit.training.pipeline.bugs import BUGS
from labkit.training.pipeline.random_streams import SerialWithStreams
from labkit.training.serial import Alone

spec = importlib.util.spec_from_file_location("pipeline_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)


@functools.cache
def expected(model, **changes):
    make, data = cases.MODELS[model]
    return run_strategy(Alone(), make, data, cases.OPTIONS.replace(**changes), SerialWithStreams())


def check(p, model, strategy="pipeline", changes=(), **settings):
    make, data = cases.MODELS[model]
    options, oracle = cases.OPTIONS.replace(**dict(changes)), expected(model, **dict(changes))

    def program(comm):
        mine = strategy if isinstance(strategy, str) else strategy()
        return check_equivalence(comm, make, data, options, mine, expected=oracle, **settings)

    return simulate(p, program).results[0]


SCHEDULES = [
    (1, "1f1b", {}), (2, "1f1b", {}), (3, "zb-h1", {}), (4, "zb-h2", {}), (2, "interleaved", {}),
    (3, "1f1b", {"checkpointing": True}), (4, "zb-h1", {"checkpointing": [1, 3]}), (4, "zb-searched", {}),
]


@pytest.mark.parametrize("model", cases.MODELS)
def test_equals_one_process(model):
    some = SCHEDULES if model in ("mlp", "language") else SCHEDULES[4:7]
    for p, schedule, settings in some:
        found = check(p, model, schedule=schedule, **settings)
        assert found.is_right, f"{schedule}: {found}"
        is_tied = model == "language" and p > 1  # its gradient is added up over stages instead of micro-batches
        assert found.is_bitwise != is_tied, f"{schedule}: {found}"


def test_another_order_of_micro_batches_rounds_otherwise():
    for p in (1, 2, 4):
        found = check(p, "mlp", schedule="gpipe")
        assert found.is_right and not found.is_bitwise, str(found)


def test_adam_clipping_and_short_numbers():
    adam = {"optimizer": "adam", "learning_rate": 0.003, "weight_decay": 0.1, "max_gradient_norm": 0.5}
    assert check(3, "mlp", changes=tuple(adam.items()), schedule="zb-h1").is_bitwise
    assert check(3, "language", changes=tuple(adam.items()), schedule="1f1b").is_right
    for precision in ("bf16", "fp16"):
        found = check(2, "mlp", changes=(("precision", precision),), schedule="1f1b")
        assert found.is_right and found.is_bitwise, str(found)


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_is_found(name):
    bug = BUGS[name]
    model = {"tied": "language", "dropout": "dropout", "batch norm": "cnn", "skip": "skip"}.get(bug.needs, "mlp")
    found = check(3, model, bug.make)
    assert not found.is_right, str(found)
    right = check(3, model, **bug.settings)
    assert right.is_right, str(right)  # the same run without the slip


def test_a_bug_is_told_in_words():
    found = check(2, "mlp", BUGS["mean_of_means"].make)
    assert "differs by" in found.problems[0] and torch.isfinite(torch.tensor(found.gradient_difference))
