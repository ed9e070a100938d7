"""What a training run is told, apart from model, data and strategy; equal on all ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.floating_point.mixed_precision.loss_scaling import LossScaling

OPTIMIZERS = ("sgd", "adam")
PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    num_steps : int
    batch_size : int
        Samples of a step, of all ranks together (the *global* batch).
    learning_rate : float
        Of the optimizer, after the warm-up.
    optimizer : str
        ``"sgd"`` or ``"adam"`` (AdamW with decoupled weight decay, as is usual).
    momentum : float
        Of SGD.
    betas, epsilon
        Of Adam.
    weight_decay : float
    warmup_steps : int
        The learning rate grows linearly over so many steps; see :mod:`labkit.training.learning_rate`.
    base_batch_size : int, optional
        If given, ``learning_rate`` is that of this batch size, and is scaled by ``batch_size / base_batch_size``.
    num_micro_batches : int
        A rank computes its shard in so many pieces and adds their gradients up.
    max_gradient_norm : float, optional
        Longer gradients are shortened to this length.
    precision : str
        ``"fp32"``, or ``"bf16"`` or ``"fp16"`` with master weights of fp32 (:mod:`labkit.training.mixed`).
    loss_scaling : LossScaling, optional
        Of :mod:`labkit.floating_point.mixed_precision.loss_scaling`, for fp16 and bf16. Without it fp16 has a dynamic
        one, and bf16 none.
    check_gradients : bool
        Look for NaN and infinities in the gradients of each step before the optimizer uses them. (Losses are always
        looked at.) One pass over the gradients.
    shares : tuple of float, optional
        What part of a batch each rank takes; equal without it.
    shuffle : bool
    seed : int
        Of the order of the samples.

    Raises
    ------
    UsageError
        A value that makes no sense.

    Examples
    --------
    >>> TrainingOptions(num_steps=10, batch_size=64).replace(learning_rate=0.2).learning_rate
    0.2
    """

    num_steps: int = 100
    batch_size: int = 64
    learning_rate: float = 0.1
    optimizer: str = "sgd"
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    warmup_steps: int = 0
    base_batch_size: int | None = None
    num_micro_batches: int = 1
    max_gradient_norm: float | None = None
    precision: str = "fp32"
    check_gradients: bool = True
    shares: tuple[float, ...] | None = None
    shuffle: bool = True
    seed: int = 0
    loss_scaling: LossScaling | None = None

    def __post_init__(self):
        for name, least in (
            ("num_steps", 0),
            ("batch_size", 1),
            ("warmup_steps", 0),
            ("num_micro_batches", 1),
            ("seed", 0),
        ):
            _whole(name, getattr(self, name), least)
        if self.base_batch_size is not None:
            _whole("base_batch_size", self.base_batch_size, 1)
        for name in ("learning_rate", "momentum", "weight_decay", "epsilon"):
            _number(name, getattr(self, name))
        if self.max_gradient_norm is not None and _number("max_gradient_norm", self.max_gradient_norm) == 0:
            raise UsageError("max_gradient_norm is above 0, not 0: leave it out to keep gradients as they are.")
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("precision", self.precision, PRECISIONS)
        if self.loss_scaling is not None:
            _scaling(self.loss_scaling, self.precision)
        if self.shares is not None:
            object.__setattr__(self, "shares", tuple(self.shares))

    def replace(self, **changes) -> TrainingOptions:
        """The same options with some changed."""
        return replace(self, **changes)

    def differences(self, other: TrainingOptions) -> list[str]:
        """The names of the options that differ."""
        return [field.name for field in fields(self) if getattr(self, field.name) != getattr(other, field.name)]


def make_optimizer(parameters, options: TrainingOptions):
    """The optimizer of these parameters: a ``torch.optim.SGD`` or ``AdamW``.

    Both work element by element: a piece of a parameter gets the same values as it would within the whole.
    """
    import torch

    parameters = list(parameters)
    if options.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=options.learning_rate, momentum=options.momentum, weight_decay=options.weight_decay
        )
    return torch.optim.AdamW(
        parameters,
        lr=options.learning_rate,
        betas=options.betas,
        eps=options.epsilon,
        weight_decay=options.weight_decay,
    )


def _whole(name: str, value, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name} is a whole number from {least}, not {value!r}: pass such a number.")


def _number(name: str, value) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not (0 <= value and math.isfinite(value)):
        raise UsageError(f"{name} is a number from 0, not {value!r}: pass such a number.")
    return value


def _scaling(value, precision: str) -> None:
    from labkit.floating_point.mixed_precision.loss_scaling import LossScaling

    if not isinstance(value, LossScaling):
        raise UsageError(f"loss_scaling is a LossScaling, not {value!r}: pass LossScaling(1024.0), for example.")
    if precision == "fp32":
        raise UsageError("loss_scaling is for precision='fp16' or 'bf16': fp32 needs none, leave it out.")


def _one_of(name: str, value, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} is one of {', '.join(allowed)}, not {value!r}: pass one of these.")
