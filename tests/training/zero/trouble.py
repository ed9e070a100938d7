"""A model with synchronised batch norm that raises on one rank, at a place of one's choice; used on both kinds of ranks."""

import torch
from torch import nn

from labkit.errors import LabkitError, TrainingError
from labkit.training.batch_norm import convert
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model
from labkit.training.options import TrainingOptions
from labkit.training.trainer import Trainer

DIGITS = load_digits().head(43, 20)
OPTIONS = TrainingOptions(num_steps=4, batch_size=10, learning_rate=0.05, seed=3, num_micro_batches=2)
PLACES = ("first", "between", "last", "backward", "end of backward", "evaluation", "last of evaluation")


class Trouble(nn.Module):
    """Layers with parameters (gathered by ZeRO-3) and batch norms (which communicate) take turns."""

    def __init__(self, comm, where, rank):
        super().__init__()
        self.inner = convert(make_model("cnn", DIGITS, channels=(4, 6), seed=1), comm)
        self.where, self.num_calls = where if comm.rank == rank else "", 0

    def forward(self, inputs):
        if self.training:
            self.num_calls += 1
        now = self.where if self.num_calls == 3 and self.training else ""  # in the first half of the second step
        if not self.training and self.where.endswith("evaluation"):
            now = {"evaluation": "between", "last of evaluation": "last"}[self.where]
        if now == "first":
            bad_luck()
        first, second = self.inner.convolutions
        values = torch.relu(self.inner.norms[0](first(inputs)))
        if now == "between":
            bad_luck()
        if now == "backward":
            values.register_hook(bad_luck)
        if now == "end of backward":
            self.inner.norms[0].weight.register_post_accumulate_grad_hook(self.fail_once)
        values = torch.relu(self.inner.norms[1](second(values)))
        outputs = self.inner.classify(values.mean((2, 3)))
        if now == "last":
            bad_luck()
        return outputs

    def fail_once(self, parameter):
        if self.where:
            self.where = ""
            bad_luck()


def bad_luck(*_):
    raise ValueError("bad luck")


def check(comm, strategy, where):
    """A run in which rank 1 fails: all ranks say so, have the same weights afterwards, and can go on."""
    model = Trouble(comm, where, 1)
    with Trainer(comm, model, DIGITS, OPTIONS, strategy=strategy, progress=False) as trainer:
        evaluates = where.endswith("evaluation")
        try:
            trainer.evaluate() if evaluates else trainer.run()
        except LabkitError as error:
            expected = "rank 1 raised ValueError: bad luck" if evaluates else "step 1: rank 1 raised ValueError: bad luck"
            assert str(error).startswith(expected), (where, str(error))
            assert evaluates or isinstance(error, TrainingError) and error.ranks == (1,)
        except ValueError as error:
            assert evaluates and comm.rank == 1 and str(error) == "bad luck"
        else:
            raise AssertionError(f"{where}: no error on rank {comm.rank}")
        assert trainer.num_done == (0 if evaluates else 1)
        model.where = ""
        report = trainer.run(2)
        assert len(report.losses) == 2 and report.replicas_are_equal
        return report.losses
