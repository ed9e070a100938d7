"""On simulated ranks: training with divided matrices equals one process, and the check finds every known slip."""

import copy
import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import RankFailedError, TrainingError, UsageError
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.hooks import TrainingHook
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.serial import Alone, train_serial
from labkit.training.tensor_parallel import train_tensor_parallel
from labkit.training.tensor_parallel.bugs import BUGS
from labkit.training.trainer import Trainer, train

spec = importlib.util.spec_from_file_location("tensor_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)
CASE_OF = {"three products": "mlp", "language model": "language"}


@functools.cache
def expected(case):
    return run_alone(*cases.CASES[case])


def check(p, case, make_strategy=lambda: "tensor_parallel", **settings):
    make, data, options = cases.CASES[case]
    settings["expected"] = expected(case)
    return simulate(
        p, lambda comm: check_equivalence(comm, make, data, options, make_strategy(), **settings)
    ).results[0]


@pytest.mark.parametrize("case, sequence_parallel, ranks", [
    ("mlp", False, (1, 2, 3, 4)), ("reviews", False, (1, 2, 3, 4)), ("reviews", True, (1, 2, 3, 4)),
    ("language", False, (3,)), ("language", True, (1, 2)),
])
@pytest.mark.timeout(300)
def test_equals_one_process(case, sequence_parallel, ranks):
    """Biases, tied tables, dropout, uneven vocabularies, rows and hidden values, empty micro-batches, clipping, Adam."""
    for p in ranks:
        found = check(p, case, sequence_parallel=sequence_parallel)
        assert found.is_right and found.replicas_are_equal, str(found)
        assert found.is_bitwise == (p == 1), str(found)


@pytest.mark.parametrize("name", BUGS)
def test_every_slip_is_found(name):
    bug = BUGS[name]
    case = CASE_OF.get(bug.needs, "reviews")
    found = check(2, case, bug.strategy)
    assert not found.is_right and found.problems
    alone = check(1, case, bug.strategy)  # nothing is divided: the slip is one of several ranks
    assert alone.is_right, str(alone)


@pytest.mark.parametrize("algorithm", ["ring", "rabenseifner", "all_pairs"])
def test_any_all_reduce(algorithm):
    found = check(3, "reviews", allreduce=algorithm)
    assert found.is_right, str(found)


def test_short_numbers_are_as_close_to_float32_as_those_of_one_process():
    make, data, options = lambda: cases.reviews(0.0), cases.REVIEWS, cases.OPTIONS.replace(num_steps=1)
    exact = run_alone(make, data, options)
    short = options.replace(precision="bf16")

    def distance(outcome):
        pairs = [(outcome.gradients[name], exact.gradients[name]) for name in exact.gradients]
        return float(sum((a - b).square().sum() for a, b in pairs) / sum(b.square().sum() for _, b in pairs)) ** 0.5

    alone = distance(run_alone(make, data, short))
    assert 1e-4 < alone < 0.1
    from labkit.training.data_parallel.equivalence import run_strategy

    for p, sequence_parallel in ((2, False), (3, True)):
        divided = simulate(p, lambda comm, s=sequence_parallel: run_strategy(
            comm, make, data, short, "tensor_parallel", sequence_parallel=s)).results
        assert all(distance(outcome) < 2 * alone for outcome in divided)


def test_dropout_is_the_same_with_data_parallelism_too():
    make, data, _ = cases.CASES["reviews"]
    options = cases.OPTIONS.replace(shares=(2, 1, 3))
    found = simulate(3, lambda comm: check_equivalence(
        comm, make, data, options, "flat", expected=expected("reviews"))).results[0]
    assert found.is_right, str(found)


def test_a_checkpoint_fits_one_process_and_any_number_of_ranks(sequence_parallel=True):
    make, data, options = cases.CASES["language"]
    whole = make()
    losses = train_serial(whole, data, options).losses

    def first_half(comm):
        model = make()
        with Trainer(comm, model, data, options, strategy="tensor_parallel", sequence_parallel=sequence_parallel) as t:
            t.run(10)
            state = t.state_dict()
            assert not model.embed.weight.numel()  # it is in parts
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, state["model"][name])
        return state

    states = simulate(3, first_half).results
    for state in states[1:]:
        assert all(torch.equal(state["model"][name], states[0]["model"][name]) for name in state["model"])

    def other_half(comm, strategy, **settings):
        model = make()
        report = train(comm, model, data, options, strategy=strategy, resume=copy.deepcopy(states[0]), **settings)
        return model, report

    for model, report in [other_half(Alone(), "serial")] + simulate(
        2, lambda comm: other_half(comm, "tensor_parallel", sequence_parallel=sequence_parallel)).results:
        assert report.losses == pytest.approx(losses[10:], rel=1e-5)
        for (name, mine), theirs in zip(model.named_parameters(), whole.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5, msg=name)


class _Fails(TrainingHook):
    """Rank 1 raises inside a layer, in a step."""

    def __init__(self, backward=False):
        self.backward = backward

    def at_start(self, trainer) -> None:
        if trainer.comm.rank == 1:
            layer = trainer.strategy.module.blocks[1].attention.value
            add = layer.register_full_backward_hook if self.backward else layer.register_forward_hook
            add(lambda *_: self._fail(trainer))

    def _fail(self, trainer):
        if trainer.num_done == 2:
            raise ArithmeticError("a bad value")


@pytest.mark.parametrize("sequence_parallel", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_a_rank_that_fails_in_a_layer_stops_all(backward, sequence_parallel):
    make, data, options = cases.CASES["reviews"]

    def program(comm):
        with pytest.raises(TrainingError, match="step 2: rank 1 raised ArithmeticError: a bad value") as caught:
            train_tensor_parallel(
                comm, make(), data, options, sequence_parallel=sequence_parallel, hooks=[_Fails(backward)])
        return caught.value.ranks

    assert simulate(3, program).results == [(1,)] * 3


def test_ranks_with_other_samples_are_told_so():
    from labkit.training.tensor_parallel.strategy import TensorParallel

    class OtherSamples(TensorParallel):
        def replicas(self, comm):
            return comm.size, comm.rank

    make, data, options = cases.CASES["reviews"]
    with pytest.raises(RankFailedError, match="take the same samples"):
        simulate(2, lambda comm: train(comm, make(), data, options, strategy=OtherSamples()))


def test_what_cannot_be_divided_is_refused_with_the_next_step():
    options = TrainingOptions(num_steps=1, batch_size=4)

    def error_of(p, make, data, **settings):
        with pytest.raises(RankFailedError) as caught:
            simulate(p, lambda comm: train_tensor_parallel(comm, make(), data, options, **settings))
        return str(caught.value)

    text = error_of(3, lambda: make_model("transformer", cases.REVIEWS, width=16, num_heads=4), cases.REVIEWS)
    assert "4 heads on 3 ranks would be 1.33 each. Use 1, 2, 4 ranks" in text
    text = error_of(3, lambda: make_model("mlp", cases.DIGITS, hidden=(2,)), cases.DIGITS)
    assert "2 cannot be shared out to 3 ranks" in text and "a wider layer" in text
    text = error_of(2, lambda: make_model("cnn", cases.DIGITS), cases.DIGITS)
    assert "not CNN" in text and "ColumnLinear" in text
    assert "sequence_parallel" in error_of(2, cases.mlp, cases.DIGITS, sequence_parallel=True)
    with pytest.raises(UsageError, match="there is no all-reduce 'star'"):
        train_tensor_parallel(Alone(), cases.mlp(), cases.DIGITS, options, allreduce="star")
