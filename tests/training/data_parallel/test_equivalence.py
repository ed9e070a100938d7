"""On simulated ranks: every strategy equals one process, and the check finds every known bug."""

import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.training.data_parallel.bugs import BUGS
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone

spec = importlib.util.spec_from_file_location("training_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)

ADAM = {"optimizer": "adam", "learning_rate": 0.003, "weight_decay": 0.1, "num_micro_batches": 2, "max_gradient_norm": 0.5}
MODELS = {
    "mlp": (cases.mlp, cases.DIGITS, {}),
    "double": (cases.exact_mlp, cases.DIGITS, ADAM),
    "odd": (cases.Odd, cases.DIGITS, {"weight_decay": 0.01}),
    "odd adam": (cases.Odd, cases.DIGITS, ADAM),
    "transformer": (cases.transformer, cases.REVIEWS, ADAM),
}
STRATEGIES = {
    "naive": ("naive", {}),
    "flat": ("flat", {"algorithm": "ring"}),
    "flat tree": ("flat", {"algorithm": "tree"}),
    "bucketed": ("bucketed", {"bucket_bytes": 2000, "algorithm": "rabenseifner"}),
    "every micro-batch": ("bucketed", {"bucket_bytes": 2000, "sync_every_micro_batch": True}),
    "overlapped": ("overlapped", {"bucket_bytes": 2000, "first_bucket_bytes": 100, "algorithm": "allreduce_swing"}),
}


@functools.cache
def expected(model, num_parts=1):
    make, data, changes = MODELS[model]
    return run_alone(make, data, cases.OPTIONS.replace(**changes), num_parts=num_parts)


def check(p, model, strategy, **settings):
    make, data, changes = MODELS[model]
    settings.setdefault("expected", expected(model))
    return simulate(
        p, lambda comm: check_equivalence(comm, make, data, cases.OPTIONS.replace(**changes), strategy, **settings)
    ).results[0]


@pytest.mark.parametrize(
    "strategy, model", [(s, "odd adam") for s in STRATEGIES] + [("overlapped", m) for m in MODELS if m != "odd adam"]
)
def test_equals_one_process(strategy, model):
    name, settings = STRATEGIES[strategy]
    for p in (1, 2, 3, 4):
        found = check(p, model, name, **settings)
        assert found.is_right, str(found)
        assert found.is_bitwise == (p == 1), str(found)  # another order of summation shows, and nothing else


@pytest.mark.parametrize("model", ["mlp", "odd"])
@pytest.mark.parametrize("p", [2, 3, 4])
def test_bitwise_where_the_order_is_fixed(p, model):
    """Sums in the order of the ranks: the same bits as one process that takes the shards one after the other."""
    for strategy in ("naive", "flat", "bucketed", "overlapped"):
        found = check(p, model, strategy, algorithm="all_pairs", expected=expected(model, p))
        assert found.is_right and found.is_bitwise, str(found)


def test_bitwise_whatever_the_buckets_if_all_elements_have_one_order():
    digests = set()
    for strategy, settings in (("naive", {}), ("flat", {}), ("bucketed", {"bucket_bytes": 500}), ("overlapped", {})):
        from labkit.training.trainer import train

        def program(comm, strategy=strategy, settings=settings):
            return train(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy=strategy, algorithm="recursive_doubling", **settings)

        digests |= set(simulate(4, program).results[0].digests)
    assert len(digests) == 1


@pytest.mark.parametrize("shares", [(3, 1, 2), (0, 1, 1), (1, 0, 0)])
def test_uneven_and_empty_shards(shares):
    options = cases.OPTIONS.replace(shares=shares)
    for strategy in ("naive", "overlapped"):
        found = simulate(
            3, lambda comm, s=strategy: check_equivalence(comm, cases.mlp, cases.DIGITS, options, s, expected=expected("mlp"))
        ).results[0]
        assert found.is_right, str(found)


@pytest.mark.parametrize("name", BUGS)
def test_every_bug_is_found(name):
    bug = BUGS[name]
    options = cases.OPTIONS
    if bug.needs == "clipping":
        options = options.replace(max_gradient_norm=0.1)
    if bug.needs == "micro-batches":
        options = options.replace(num_micro_batches=2)
    make = cases.cnn if bug.needs == "batch norm" else cases.mlp
    against = bug.needs != "batch norm"
    found = simulate(
        3, lambda comm: check_equivalence(comm, make, cases.DIGITS, options, bug.strategy(), hooks=bug.hooks(), against_serial=against)
    ).results[0]
    assert not found.is_right and found.problems
    fine = simulate(
        3, lambda comm: check_equivalence(comm, make, cases.DIGITS, options, "flat", against_serial=against)
    ).results[0]
    assert fine.is_right, str(fine)  # the same check, without the bug


def test_tied_frozen_and_unused_parameters():
    from labkit.training.trainer import train

    def program(comm):
        model = cases.Odd()
        fixed, unused = model.fixed.weight.clone(), model.unused.weight.clone()
        report = train(comm, model, cases.DIGITS, cases.OPTIONS.replace(weight_decay=0.0), strategy="overlapped")
        assert torch.equal(model.fixed.weight, fixed) and torch.equal(model.unused.weight, unused)
        assert model.other.weight is model.square.weight
        return report

    report = simulate(3, program).results[1]
    assert report.unused == ("unused.weight", "unused.bias") and "never used" in str(report)
    sizes = 64 * 24 + 24 + 24 * 24 + 24 + 24 + 30 + 250  # the tied weight once, the frozen layer not
    assert {use.gradients_bytes for use in report.memory} == {4 * sizes}
