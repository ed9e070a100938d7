"""On real ranks: training with divided matrices, over MPI and over Gloo, and ranks that fail in the middle of a pass."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases  # noqa: E402

from labkit.errors import TrainingError  # noqa: E402
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone  # noqa: E402
from labkit.training.hooks import TrainingHook  # noqa: E402
from labkit.training.tensor_parallel import ParallelGroup, ParallelMLP, train_tensor_parallel  # noqa: E402


def check_training_equals_one_process(comm):
    expected = {name: run_alone(*cases.CASES[name]) for name in ("reviews", "language")}
    runs = (
        ("reviews", {"sequence_parallel": True}), ("language", {}), ("reviews", {"allreduce": "allreduce_recursive_doubling"}),
    )
    for name, settings in runs:
        make, data, options = cases.CASES[name]
        found = check_equivalence(comm, make, data, options, "tensor_parallel", expected=expected[name], **settings)
        assert found.is_right and found.replicas_are_equal, f"{settings} {found}"


def check_gloo_carries_it_as_well(comm):
    if hasattr(comm, "monitor"):
        return  # a cell's ranks talk by MPI
    from labkit.comm.torch import communicator

    gloo = communicator(comm, backend="gloo")
    make, data, options = cases.CASES["reviews"]
    found = check_equivalence(gloo, make, data, options, "tensor_parallel", sequence_parallel=True)
    assert found.is_right and found.replicas_are_equal, str(found)


def check_calls_are_counted_without_a_trainer(comm):
    group = ParallelGroup(comm)
    mlp = ParallelMLP(6, 11, group)
    values = torch.randn(5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    mlp(values).sum().backward()  # real ranks may wait inside of autograd
    kinds = [("all-reduce", False), ("all-reduce", True)] if comm.size > 1 else []
    assert [(call.kind, call.is_backward) for call in group.calls] == kinds
    whole = ParallelMLP(6, 11, ParallelGroup(Alone()))
    other = values.detach().clone().requires_grad_()
    whole(other).sum().backward()
    torch.testing.assert_close(values.grad, other.grad)


class Alone:
    rank, size = 0, 1


class Fails(TrainingHook):
    """The last rank raises inside a layer, at the third step."""

    def __init__(self, where):
        self.where = where

    def at_start(self, trainer):
        if trainer.comm.rank == trainer.comm.size - 1:
            block = trainer.strategy.module.blocks[1]
            if self.where == "forward":
                block.norm_2.register_forward_hook(lambda *_: self.fail(trainer))
            else:
                block.attention.value.register_full_backward_hook(lambda *_: self.fail(trainer))

    def fail(self, trainer):
        if trainer.num_done == 2:
            raise ArithmeticError("a bad value")


def check_a_rank_that_fails_in_a_layer_stops_all(comm):
    make, data, options = cases.CASES["reviews"]
    for where, sequence_parallel in (("forward", True), ("backward", False)):
        try:
            train_tensor_parallel(comm, make(), data, options, sequence_parallel=sequence_parallel, hooks=[Fails(where)])
        except TrainingError as error:
            assert f"step 2: rank {comm.size - 1} raised ArithmeticError: a bad value" in str(error), error
        else:
            raise AssertionError("nobody raised")
