"""ZeRO with synchronised batch norm: a rank that fails inside forward, backward or an evaluation stops all, and none waits."""

import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import TrainingError
from labkit.training.trainer import train

torch.set_num_threads(1)
spec = importlib.util.spec_from_file_location("zero_trouble", Path(__file__).with_name("trouble.py"))
trouble = importlib.util.module_from_spec(spec)
spec.loader.exec_module(trouble)


@pytest.mark.parametrize("where", trouble.PLACES)
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_rank_that_fails_stops_all_and_they_can_go_on(stage, where):
    for p in (2, 3):
        losses = simulate(p, lambda comm: trouble.check(comm, f"zero_{stage}", where)).results
        assert losses == [losses[0]] * p


@pytest.mark.parametrize("where", ["evaluation", "last of evaluation"])
def test_an_evaluation_of_another_strategy(where):
    losses = simulate(3, lambda comm: trouble.check(comm, "bucketed", where)).results
    assert losses == [losses[0]] * 3


def test_layers_that_do_not_meet_are_named():
    class Other(torch.nn.Module):
        def __init__(self, comm):
            super().__init__()
            self.a, self.b, self.last = torch.nn.BatchNorm2d(1), torch.nn.BatchNorm2d(1), torch.nn.Linear(64, 10)
            torch.nn.init.zeros_(self.last.weight), torch.nn.init.zeros_(self.last.bias)
            self.leaves_out = comm.rank == 1
            trouble.convert(self, comm)

        def forward(self, inputs):
            for layer in (self.b,) if self.leaves_out else (self.a, self.b):
                inputs = layer(inputs)
            return self.last(inputs.flatten(1))

    def program(comm):
        with pytest.raises(TrainingError, match="rank 1 at layer 'b forward'|rank 1 at all-gather"):
            train(comm, Other(comm), trouble.DIGITS, trouble.OPTIONS, strategy="zero_3")
        return True

    assert all(simulate(2, program).results)
