"""Does a strategy compute what one process computes? The check, for right strategies and for wrong ones.

Three things are compared after some steps: the gradients of the first step and the weights of the last with those of
one process, the losses of all steps, and the ranks with each other, bit by bit.

Where the tolerance comes from: a gradient is a sum over samples. One process adds all of them within its products of
matrices; p ranks add their own and then the p partial sums, so the additions are the same in another order, and each
rounds: a relative difference of some multiples of the unit roundoff, which 20 steps let grow. Wrong strategies are off
by much more. Differences are measured as norms, relative to the gradient, and to the way that the weights have gone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from labkit.training.data import DataSet
from labkit.training.hooks import TrainingHook
from labkit.training.options import TrainingOptions
from labkit.training.serial import Alone
from labkit.training.strategies import Strategy
from labkit.training.trainer import Trainer

GRADIENT_ROUNDOFFS, WEIGHT_ROUNDOFFS = 2**7, 2**11  # tolerances in unit roundoffs of the model's type
NUM_STEPS = 20


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run of some steps has come to: tensors are copies, by name."""

    losses: tuple[float, ...]
    gradients: dict[str, torch.Tensor]  # of the first step
    first_weights: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Equivalence:
    """The verdict on a strategy; equal on all ranks.

    Attributes
    ----------
    strategy : str
    num_ranks : int
    gradient_difference, weight_difference, loss_difference : float
        The largest of all parameters (norm of the difference by norm), of all steps (relative).
    is_bitwise : bool
        Weights, gradients and losses have the same bits as those of one process.
    replicas_are_equal : bool
        All ranks have the same bits.
    problems : tuple of str
        What is wrong, in words; empty if nothing is.
    """

    strategy: str
    num_ranks: int
    gradient_difference: float
    weight_difference: float
    loss_difference: float
    is_bitwise: bool
    replicas_are_equal: bool
    problems: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        words = f"{self.strategy} on {self.num_ranks} ranks: " + ("; ".join(self.problems) or "equals one process")
        return (
            f"{words} (gradients differ by {self.gradient_difference:.1e}, weights by {self.weight_difference:.1e}"
            f"{', bitwise equal' if self.is_bitwise else ''})"
        )


def run_alone(
    make_model: Callable[[], nn.Module], data: DataSet, options: TrainingOptions, *, num_parts: int = 1, **settings
) -> Outcome:
    """One process: the oracle. With ``num_parts=p`` it adds the gradients of p shards up, in their order."""
    options = options.replace(num_micro_batches=num_parts * options.num_micro_batches, shares=None)
    return run_strategy(Alone(), make_model, data, options, "serial", **settings)


def run_strategy(
    comm,
    make_model: Callable[[], nn.Module],
    data: DataSet,
    options: TrainingOptions,
    strategy,
    *,
    hooks=(),
    **settings,
) -> Outcome:
    """Train on all ranks of ``comm`` and keep what is compared. Collective."""
    model, look = make_model(), _FirstGradients()
    first = _copies(model)
    with Trainer(
        comm, model, data, options, strategy=strategy, hooks=[*hooks, look], progress=False, timeline=False, **settings
    ) as trainer:
        report = trainer.run()
        weights = {
            name: t.detach().clone() for name, t in trainer.strategy.model_state_dict().items() if torch.is_tensor(t)
        }
    return Outcome(
        report.losses,
        look.gradients,
        first,
        {**_copies(model), **weights} if weights.keys() >= first.keys() else _copies(model),
        report.digests,
    )


def check_equivalence(
    comm, make_model: Callable[[], nn.Module], data: DataSet, options: TrainingOptions, strategy: str | Strategy, *,
    expected: Outcome | None = None, found: Outcome | None = None, tolerance: float | None = None,
    against_serial: bool = True, hooks=(), **settings,
) -> Equivalence:
    """Compare a strategy with one process. Collective.

    Parameters
    ----------
    comm : communicator
    make_model : callable
        Makes equal models wherever it is called.
    data : DataSet
    options : TrainingOptions
    strategy : str or Strategy
    expected : Outcome, optional
        What :func:`run_alone` found; made here without.
    found : Outcome, optional
        What :func:`run_strategy` found with this strategy on this rank; made here without.
    tolerance : float, optional
        Of the weights; that of the gradients is 1/16 of it. By default some unit roundoffs of the model's type; see the
        head of this file. A strategy that rounds more on purpose needs a larger one.
    against_serial : bool
        False: the ranks are compared with each other only, as for batch norm over each rank's own shard.
    settings
        Of the trainer and the strategy.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data, options = load_digits().head(50), TrainingOptions(num_steps=5, batch_size=10)
    >>> def program(comm):
    ...     return check_equivalence(comm, lambda: make_model("mlp", data, hidden=(8,)), data, options, "flat")
    >>> found = simulate(3, program).results[0]
    >>> found.is_right, found.replicas_are_equal
    (True, True)
    """
    if found is None:
        found = run_strategy(comm, make_model, data, options, strategy, hooks=hooks, **settings)
    if expected is None and against_serial:
        expected = run_alone(make_model, data, options)
    name = strategy if isinstance(strategy, str) else strategy.name
    everyone = comm.allgather(compare(found, expected, tolerance) if against_serial else (0.0, 0.0, 0.0, False, ()))
    gradient, weight, loss = (max(values) for values in list(zip(*everyone, strict=True))[:3])
    problems = list(dict.fromkeys(problem for rank in everyone for problem in rank[4]))
    equal = len(set(found.digests)) == 1
    if not equal:
        other = next(rank for rank, digest in enumerate(found.digests) if digest != found.digests[0])
        problems.append(f"the replicas of ranks 0 and {other} differ")
    return Equivalence(
        name, comm.size, gradient, weight, loss, all(rank[3] for rank in everyone), equal, tuple(problems)
    )


def compare(
    found: Outcome, expected: Outcome, tolerance: float | None = None
) -> tuple[float, float, float, bool, tuple[str, ...]]:
    """(Largest differences of gradients, weights and losses, whether all bits are equal, problems in words)."""
    names = list(expected.gradients)
    roundoff = torch.finfo(expected.weights[names[0]].dtype).eps / 2
    limit = tolerance if tolerance is not None else WEIGHT_ROUNDOFFS * roundoff
    gradient_limit = limit * GRADIENT_ROUNDOFFS / WEIGHT_ROUNDOFFS
    gradients = {
        name: _relative(found.gradients[name], expected.gradients[name], expected.gradients[name])
        for name in names
        if name in found.gradients
    }
    weights = {
        name: _relative(
            found.weights[name], expected.weights[name], expected.weights[name] - expected.first_weights[name]
        )
        for name in names
    }
    buffers = {
        name: _relative(found.weights[name], values, values)
        for name, values in expected.weights.items() if name not in names and values.is_floating_point()
    }
    losses = [abs(a - b) / max(abs(b), 1e-30) for a, b in zip(found.losses, expected.losses, strict=True)]
    problems = []
    for what, differences, allowed in (
        ("gradient of the first step", gradients, gradient_limit),
        ("weights at the end", weights, limit),
        ("buffers at the end", buffers, limit),
    ):
        worst = max(differences, key=lambda name: _rank(differences[name]), default=None)
        if worst is not None and not differences[worst] <= allowed:
            problems.append(
                f"{what}: {worst} differs by {differences[worst]:.1e} of its norm, {allowed:.1e} is allowed"
            )
    if losses and not max(losses, key=_rank) <= limit:
        step = max(range(len(losses)), key=lambda k: _rank(losses[k]))
        problems.append(f"the loss of step {step} is {found.losses[step]:.6g} instead of {expected.losses[step]:.6g}")
    bitwise = found.losses == expected.losses and all(
        torch.equal(mine[name], theirs[name])
        for mine, theirs in ((found.gradients, expected.gradients), (found.weights, expected.weights))
        for name in names
        if name in mine
    )
    largest = (max(values, key=_rank, default=0.0) for values in (gradients.values(), weights.values(), losses))
    return (*largest, bitwise, tuple(problems))


class _FirstGradients(TrainingHook):
    """Keeps the gradients of the first step, where a rank has them whole."""

    def __init__(self):
        self.gradients: dict[str, torch.Tensor] = {}

    def after_step(self, trainer, record) -> None:
        if trainer.num_done == 1:
            find = getattr(trainer.strategy, "whole_gradients", None)
            if find is not None:  # the strategy has them in parts
                self.gradients = find()
                return
            self.gradients = {
                name: p.grad.detach().clone()
                for name, p in trainer.model.named_parameters()
                if p.requires_grad and p.grad is not None and p.grad.shape == p.shape
            }


def _copies(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _relative(found: torch.Tensor, expected: torch.Tensor, measure: torch.Tensor) -> float:
    difference, norm = (
        float(torch.linalg.vector_norm(t.double())) for t in (found.double() - expected.double(), measure)
    )
    if difference == 0:
        return 0.0
    return difference / norm if norm else math.inf


def _rank(value: float) -> float:
    """NaN is the worst."""
    return math.inf if math.isnan(value) else value
