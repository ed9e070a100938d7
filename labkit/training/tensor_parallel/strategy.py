"""Tensor parallelism as a strategy of the trainer."""

from __future__ import annotations

import torch
from torch import nn

from labkit.training.agreement import digest_of
from labkit.training.losses import sample_losses
from labkit.training.options import TrainingOptions
from labkit.training.report import TrainingReport
from labkit.training.strategies import StrategyBase
from labkit.training.tensor_parallel.group import ParallelGroup
from labkit.training.tensor_parallel.loss import VocabularyLoss
from labkit.training.tensor_parallel.passes import finish_gradients
from labkit.training.tensor_parallel.shards import (
    find_shards,
    load_whole,
    whole_gradients,
    whole_state,
    whole_tensor,
)
from labkit.training.tensor_parallel.transformer import ParallelTransformer, tensor_parallel


class TensorParallel(StrategyBase):
    """Every rank has a part of every matrix, and takes all samples of each batch.

    Parameters
    ----------
    sequence_parallel : bool
        See :func:`.transformer.tensor_parallel`.
    allreduce : str
        Of the sums in forward and backward; see :class:`.group.ParallelGroup`.

    Notes
    -----
    While it is attached, the model that was given has no memory for its parameters: they are in parts on the ranks, in
    ``module``. At the end the model gets them back, whole.
    """

    name = "tensor_parallel"

    def __init__(self, *, sequence_parallel: bool = False, allreduce: str = "library"):
        self.sequence_parallel, self.allreduce_name = sequence_parallel, allreduce

    def replicas(self, comm) -> tuple[int, int]:
        return 1, 0

    def counts_loss(self, comm) -> bool:
        return comm.rank == 0

    def test_part(self, comm) -> tuple[int, int]:
        return 1, 0

    def divide(self, model: nn.Module, comm) -> nn.Module:
        """This rank's part of a model."""
        group = ParallelGroup(comm, sequence_parallel=self.sequence_parallel, allreduce=self.allreduce_name)
        return tensor_parallel(model, group)

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        from labkit.training.agreement import all_or_none, check_equal

        settings = f"sequence_parallel={self.sequence_parallel}, allreduce={self.allreduce_name}"
        check_equal(comm, f"the settings of {self.name!r}", settings, "Pass equal ones on every rank.")
        module = all_or_none(comm, lambda: self.divide(model, comm))
        self.in_pass = self.group = module.group
        self.original = model
        for parameter in model.parameters():
            parameter.data = parameter.data.new_empty(0)
        super().attach(comm, module, optimizer_factory, options, recorder)
        self.shards = find_shards(module)

    def loss_of(self, loss):
        """With the usual loss, the logits of a language model stay where they are."""
        if not isinstance(self.module, ParallelTransformer) or self.module.num_classes is not None:
            return loss
        if loss is not sample_losses:
            self.module.gathers_logits = True
            return loss
        return VocabularyLoss(self.group, self.module.num_tokens)

    def finish_backward(self) -> None:
        finish_gradients(self.module)

    def abort(self) -> None:
        """Nothing is left of the step: the announcements have told everybody."""

    def gradient_norm(self) -> float:
        if self.comm.size == 1:
            return super().gradient_norm()
        own = whole = 0.0
        for name, parameter in self.module.named_parameters():
            if parameter.grad is not None:
                square = float(torch.linalg.vector_norm(parameter.grad.float())) ** 2
                if name in self.shards:
                    own += square
                else:
                    whole += square
        return (sum(self.comm.allgather(own)) + whole) ** 0.5

    # -- whole states: they have no ranks in them -----------------------------------------------------

    def whole_gradients(self) -> dict[str, torch.Tensor]:
        """Of all parameters, on every rank. Collective."""
        return whole_gradients(self.module, self.group)

    def model_state_dict(self) -> dict:
        return whole_state(self.module, self.group)

    def load_model_state_dict(self, state: dict) -> None:
        load_whole(self.module, self.group, state)

    def state_dict(self) -> dict:
        """The optimizer's state as one process has it. Collective."""
        found = self.optimizer.state_dict()
        state = {
            number: {key: self._whole_value(number, value) for key, value in values.items()}
            for number, values in found["state"].items()
        }
        return {"optimizer": {"state": state, "param_groups": found["param_groups"]}}

    def load_state_dict(self, state: dict) -> None:
        own = {
            number: {key: self._own_value(number, value) for key, value in values.items()}
            for number, values in state["optimizer"]["state"].items()
        }
        self.optimizer.load_state_dict({"state": own, "param_groups": state["optimizer"]["param_groups"]})

    def weights_digest(self) -> str:
        state = self.model_state_dict()
        return digest_of([state[name] for name in state])

    def detach(self) -> None:
        if hasattr(self, "original"):
            state = self.model_state_dict()
            names = dict(self.original.named_parameters())
            for name, parameter in names.items():
                parameter.data = state[name]
            del self.original
        super().detach()

    def _shard_of(self, number: int):
        parameter = self.parameters[number]
        return next((self.shards.get(name) for name, p in self.module.named_parameters() if p is parameter), None)

    def _whole_value(self, number: int, value):
        if not torch.is_tensor(value) or not value.dim():
            return value
        return whole_tensor(self.group, value, self._shard_of(number))

    def _own_value(self, number: int, value):
        shard = self._shard_of(number)
        if not torch.is_tensor(value):
            return value
        return (value if shard is None or not value.dim() else shard.part(value, self.group.rank)).clone()


def train_tensor_parallel(
    comm, model: nn.Module, data, options: TrainingOptions | None = None, *, sequence_parallel: bool = False,
    allreduce: str = "library", **settings,
) -> TrainingReport:
    """Train with every matrix divided over the ranks of a communicator. Collective.

    Parameters
    ----------
    comm, model, data, options, settings
        As for :func:`labkit.training.trainer.train`. ``options.batch_size`` is the batch that every rank takes.
    sequence_parallel, allreduce
        As for :class:`TensorParallel`.

    Returns
    -------
    TrainingReport
        Equal on all ranks.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits().head(100)
    >>> def program(comm):
    ...     model = make_model("mlp", data, hidden=(16,))
    ...     return train_tensor_parallel(comm, model, data, TrainingOptions(num_steps=5)).losses
    >>> one, two = simulate(1, program).results[0], simulate(2, program).results[0]
    >>> bool(abs(one[-1] - two[-1]) < 1e-5)
    True
    """
    from labkit.training.trainer import train

    strategy = TensorParallel(sequence_parallel=sequence_parallel, allreduce=allreduce)
    return train(comm, model, data, options, strategy=strategy, **settings)
