"""A catalogue of known slips of pipelines: what each does, and a strategy that makes it.

Each trains without an error message, most of them with falling losses. The check that right pipelines pass
(:func:`labkit.training.data_parallel.equivalence.check_equivalence`, with :class:`.random_streams.SerialWithStreams` as
the one process) finds them all, if model and plan reach them (``needs``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from labkit.training.pipeline.execute import Executor
from labkit.training.pipeline.strategy import Pipeline


@dataclass(frozen=True, slots=True)
class Bug:
    """One slip.

    Attributes
    ----------
    name : str
    summary : str
    executor, strategy : type
        The wrong one of the two.
    needs : str
        Of the model: ``"tied"``, ``"dropout"``, ``"batch norm"``, ``"skip"`` (a value that passes a stage), or nothing
        special.
    settings : dict
        Of the strategy, without which the slip does nothing.
    """

    name: str
    summary: str
    executor: type = Executor
    strategy: type = Pipeline
    needs: str = ""
    settings: dict = field(default_factory=dict)

    def make(self, **settings) -> Pipeline:
        """The wrong strategy."""
        return self.strategy(executor=self.executor, **{**settings, **self.settings})


class TiedNotAdded(Pipeline):
    """Each stage that holds a tied parameter uses the part of its gradient that it has computed itself."""

    def add_tied(self) -> None:
        pass


class TiedAddedTwice(Pipeline):
    """Tied gradients are added up for the first micro-batches and again at the end: the first parts count twice."""

    def add_tied(self) -> None:
        super().add_tied()
        super().add_tied()


class SumOfMeans(Executor):
    """Each micro-batch's loss is the mean over its own samples, and the means are added up."""

    def loss_divisor(self, action) -> float:
        return self.given.sizes[action.microbatch]


class MeanOfMeans(Executor):
    """Micro-batches count alike, however many samples they have."""

    def loss_divisor(self, action) -> float:
        return self.given.sizes[action.microbatch] * self.plan.num_microbatches


class ActivationsOfAnother(Executor):
    """Micro-batch 1 finds what micro-batch 0 has left in the buffer of received activations."""

    def receive_activations(self, action) -> list:
        values = super().receive_activations(action)
        if action.microbatch == 0:
            self.buffer = [value.detach().clone() if torch.is_tensor(value) else value for value in values]
        elif action.microbatch == 1 and self.buffer[0].shape == values[0].shape:
            with torch.no_grad():
                values = [old.requires_grad_(v.requires_grad) for old, v in zip(self.buffer, values, strict=True)]
        return values


class GradientOfAnother(Executor):
    """The gradients of micro-batches 0 and 1 that a stage sends back change places."""

    def send_gradients(self, action, leaves, found) -> None:
        order = [a.microbatch for a in self.actions if a.stage == action.stage and a.is_backward]
        if action.microbatch == order[1] and self.first[0].shape == found[0].shape:
            found = self.first
        self.first = found
        super().send_gradients(action, leaves, found)


class LastWForgotten(Executor):
    """The weights never get the gradient of the last micro-batch: the step ends when B has."""

    def _weights(self, action) -> None:
        if action.microbatch == self.plan.num_microbatches - 1:
            with self._span(action):
                self.let_go(action)
        else:
            super()._weights(action)


class GradientOverwritten(Executor):
    """Each micro-batch's gradient takes the place of the one before instead of being added."""

    def _backward(self, action) -> None:
        for parameter in self.cut.stages[action.stage].train.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        super()._backward(action)


class StaleWeights(Executor):
    """The first stage computes forwards with the weights of the step before: the pipeline was not emptied."""

    def run(self, given) -> float:
        weights = list(self.cut.stages[0].train.parameters())
        fresh = [weight.detach().clone() for weight in weights]
        self.stale, self.fresh = getattr(self, "fresh", fresh), fresh
        return super().run(given)

    def _forward(self, action) -> None:
        if action.stage:
            super()._forward(action)
            return
        weights = list(self.cut.stages[0].train.parameters())
        new = [weight.data for weight in weights]
        for weight, old in zip(weights, self.stale, strict=True):
            weight.data = old
        try:
            super()._forward(action)
        finally:
            for weight, values in zip(weights, new, strict=True):
                weight.data = values


class SkipForgotten(Executor):
    """Of several values that came from the stage before, only the last one's gradient is sent back."""

    def send_gradients(self, action, leaves, found) -> None:
        super().send_gradients(action, leaves, [*(None for _ in found[:-1]), found[-1]] if found else found)


class OtherMask(Executor):
    """What is computed again draws new random numbers: the dropout mask of backward is not that of forward."""

    def stream_of(self, action, is_again):
        return self.streams.at(self.given.step + (10**6 if is_again else 0), action.microbatch, f"stage {action.stage}")


class OwnStream(Executor):
    """Dropout draws from the process's own stream: masks depend on the order of actions and on what lies where."""

    def stream_of(self, action, is_again):
        return contextlib.nullcontext()


class CountedTwice(Executor):
    """What is computed again goes into the running statistics of batch norm a second time."""

    def _unchanged_buffers(self, number):
        return contextlib.nullcontext()


def _bug(name: str, cls: type, **more) -> Bug:
    kind = "executor" if issubclass(cls, Executor) else "strategy"
    return Bug(name, cls.__doc__, **{kind: cls}, **more)


BUGS = {
    bug.name: bug
    for bug in (
        _bug("tied_not_added", TiedNotAdded, needs="tied"),
        _bug("tied_added_twice", TiedAddedTwice, needs="tied"),
        _bug("sum_of_means", SumOfMeans),
        _bug("mean_of_means", MeanOfMeans),
        _bug("activations_of_another", ActivationsOfAnother),
        _bug("gradient_of_another", GradientOfAnother),
        _bug("last_w_forgotten", LastWForgotten, settings={"schedule": "zb-h1"}),
        _bug("gradient_overwritten", GradientOverwritten),
        _bug("stale_weights", StaleWeights),
        _bug("skip_forgotten", SkipForgotten, needs="skip"),
        _bug("other_mask", OtherMask, needs="dropout", settings={"checkpointing": True}),
        _bug("own_stream", OwnStream, needs="dropout"),
        _bug("counted_twice", CountedTwice, needs="batch norm", settings={"checkpointing": True}),
    )
}
