"""How ranks share the work of a step: the protocol of strategies, what they have in common, and their names.

A strategy is attached to a model; the loop of :mod:`.step` then calls, in every step::

    start_step()                        gradients are 0
    for each micro-batch:
        start_micro_batch(is_last)      what follows adds to the gradients
        module(inputs)                  forward; the loss is multiplied by loss_factor; backward
    finish_backward()                   gradients are now those of the whole batch (or this rank's part of them)
    gradient_norm(), scale_gradients()
    step(learning_rate)                 the optimizer

A strategy whose ranks do not all go the same way has a method ``forward_backward`` instead of the micro-batches: it
takes what :func:`.step.forward_backward` does and returns this rank's part of the loss. ``replicas(comm)`` says into how
many shards a batch is dealt, and which is this rank's: one a rank, unless ranks share a replica of the model.

Every rank takes part in every step, with 0 samples if its shard is empty. A rank that has failed in forward or
backward calls ``abort`` instead of ``finish_backward``, so that the others come to the end of the step.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from labkit.errors import UsageError
from labkit.training.in_pass import InPass
from labkit.training.options import TrainingOptions
from labkit.training.recording import Recorder, Traffic

STRATEGIES = {  # name -> "module:class", imported when it is used
    "serial": "labkit.training.serial:Serial",
    "naive": "labkit.training.data_parallel.naive:Naive",
    "flat": "labkit.training.data_parallel.flat:Flat",
    "bucketed": "labkit.training.data_parallel.bucketed:Bucketed",
    "overlapped": "labkit.training.data_parallel.overlapped:Overlapped",
    "fp16_compressed": "labkit.training.data_parallel.overlapped:fp16_compressed",
    "bf16_compressed": "labkit.training.data_parallel.overlapped:bf16_compressed",
    "top_k": "labkit.training.data_parallel.overlapped:top_k",
    "zero_1": "labkit.training.zero.stages:zero_1",
    "zero_2": "labkit.training.zero.stages:zero_2",
    "zero_3": "labkit.training.zero.stages:zero_3",
    "pipeline": "labkit.training.pipeline.strategy:Pipeline",
    "torch_ddp": "labkit.training.data_parallel.torch_ddp:TorchDDP",
}


@runtime_checkable
class Strategy(Protocol):
    """What the loop asks of a strategy. :class:`StrategyBase` has all of it for parameters that every rank holds."""

    name: str
    module: nn.Module  # what the loop calls
    loss_factor: float  # the loss is multiplied by it before backward
    failure: Exception | None  # set before abort()
    in_pass: InPass | None  # set by the trainer: what layers communicate through in forward and backward

    def attach(
        self, comm, model: nn.Module, optimizer_factory, options: TrainingOptions, recorder: Recorder
    ) -> None: ...
    def start_step(self) -> None: ...
    def start_micro_batch(self, is_last: bool) -> None: ...
    def finish_backward(self) -> None: ...
    def abort(self) -> None: ...
    def gradient_norm(self) -> float: ...
    def scale_gradients(self, factor: float) -> None: ...
    def step(self, learning_rate: float) -> None: ...
    def traffic(self) -> Traffic: ...
    def memory(self) -> dict[str, int]: ...
    def model_state_dict(self) -> dict[str, Any]: ...
    def load_model_state_dict(self, state: dict[str, Any]) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...
    def detach(self) -> None: ...


class StrategyBase:
    """A strategy whose ranks hold all parameters, gradients and optimizer state; alone, it communicates nothing.

    After :meth:`attach`: ``comm``, ``model``, ``module``, ``options``, ``recorder``, ``optimizer``, and ``parameters``:
    those that are trained, each once, in the model's order. Their gradients always exist, and are 0 for a parameter
    that the loss does not depend on: such a parameter still decays, on every rank alike.
    """

    name = "base"
    loss_factor = 1.0
    failure: Exception | None = None  # what this rank has met, when ``abort`` is called; None: another rank has failed
    in_pass: InPass | None = None

    def replicas(self, comm) -> tuple[int, int]:
        """(How many replicas of the model there are, the number of this rank's)."""
        return comm.size, comm.rank

    def attach(self, comm, model: nn.Module, optimizer_factory, options: TrainingOptions, recorder: Recorder) -> None:
        """Take hold of a model. Collective.

        Parameters
        ----------
        comm : communicator
        model : torch.nn.Module
        optimizer_factory : callable
            Makes the optimizer of a list of parameters.
        options : TrainingOptions
        recorder : Recorder
        """
        self.comm, self.model, self.module = comm, model, model
        self.options, self.recorder = options, recorder
        self.parameters = trained_parameters(model)
        self._zero_gradients()
        self.optimizer = optimizer_factory(self.parameters)
        self.unused: tuple[str, ...] = ()
        self._watch_use()

    def start_step(self) -> None:
        """Gradients are 0."""
        self._zero_gradients()

    def start_micro_batch(self, is_last: bool) -> None:
        """The next backward pass adds to the gradients; after the last one they are complete on this rank."""

    def finish_backward(self) -> None:
        """Return when the gradients are those of the whole batch."""

    def abort(self) -> None:
        """This rank has failed in forward or backward: take part in what is left of the step's communication."""
        self.finish_backward()

    def gradient_norm(self) -> float:
        """The Euclidean norm of the whole gradient; equal on all ranks."""
        norms = [torch.linalg.vector_norm(parameter.grad) for parameter in self.parameters]
        return float(torch.linalg.vector_norm(torch.stack([norm.float() for norm in norms])))

    def scale_gradients(self, factor: float) -> None:
        """Multiply all gradients."""
        for parameter in self.parameters:
            parameter.grad.mul_(factor)

    def step(self, learning_rate: float) -> None:
        """Change the parameters."""
        self._end_watch()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()

    def traffic(self) -> Traffic:
        """What this rank has sent for gradients (and parameters) since it was attached."""
        return Traffic()

    def memory(self) -> dict[str, int]:
        """Bytes of this rank's live tensors by kind: parameters, gradients, optimizer, buffers."""
        from labkit.training.memory import tensor_bytes

        state = [
            value for values in self.optimizer.state.values() for value in values.values() if torch.is_tensor(value)
        ]
        return {
            "parameters": tensor_bytes([*self.model.parameters(), *self.model.buffers()]),
            "gradients": tensor_bytes([p.grad for p in self.model.parameters() if p.grad is not None]),
            "optimizer": tensor_bytes(state),
            "buffers": 0,
        }

    def model_state_dict(self) -> dict[str, Any]:
        """The model's ``state_dict``: the tensors themselves, no copies."""
        return self.model.state_dict()

    def load_model_state_dict(self, state: dict[str, Any]) -> None:
        """Set the model's parameters and buffers."""
        self.model.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """What is kept from step to step besides the model."""
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.optimizer.load_state_dict(state["optimizer"])

    def detach(self) -> None:
        """Let go of the model: hooks, threads, communicators. The gradients become ordinary ones."""
        self._end_watch()
        for parameter in getattr(self, "parameters", ()):
            parameter.grad = None

    def _watch_use(self) -> None:
        """During the first step, note which parameters get a gradient."""
        self._used: set[int] = set()
        note = lambda parameter: self._used.add(id(parameter))  # noqa: E731
        self._watches = [parameter.register_post_accumulate_grad_hook(note) for parameter in self.parameters]

    def _end_watch(self) -> None:
        """After it, ``unused`` names the others."""
        if getattr(self, "_watches", None):
            for watch in self._watches:
                watch.remove()
            self._watches = []
            self.unused = tuple(
                name for name, p in self.model.named_parameters() if p.requires_grad and id(p) not in self._used
            )

    def _zero_gradients(self) -> None:
        """In place where there are gradients: buckets hold views of them."""
        for parameter in self.parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen, each once.

    Raises
    ------
    UsageError
        There is none.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise UsageError(
            f"{type(model).__name__} has no parameter to train: all are frozen, or it has none. "
            "Set requires_grad of those that shall learn."
        )
    return parameters


def register(name: str, target: str) -> None:
    """Give a strategy a name: ``target`` is ``"module:class"``, imported when it is used."""
    if STRATEGIES.setdefault(name, target) != target:
        raise UsageError(f"the strategy {name!r} is taken by {STRATEGIES[name]}: choose another name.")


def make_strategy(strategy: str | Strategy, **options) -> Strategy:
    """The strategy of this name, made with these options; a strategy that is given comes back.

    Raises
    ------
    UsageError
        No such strategy, or options that it does not have.
    """
    if not isinstance(strategy, str):
        if options:
            raise UsageError(f"options go with the name of a strategy, not with an object: {', '.join(options)}.")
        return strategy
    if strategy not in STRATEGIES:
        raise UsageError(f"there is no strategy {strategy!r}: the strategies are {', '.join(STRATEGIES)}.")
    module, _, name = STRATEGIES[strategy].partition(":")
    make = getattr(importlib.import_module(module), name)
    try:
        return make(**options)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        raise UsageError(f"the strategy {strategy!r}: {error}. See {module}.{name}.") from None
