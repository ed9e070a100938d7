"""A small network trained in short formats: what is rounded where, and what becomes of the gradients."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.formats import Format, find_format
from labkit.floating_point.mixed_precision.digits import split_digits
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling
from labkit.floating_point.mixed_precision.product import multiply_matrices, round_to

NUM_CLASSES, NUM_PIXELS = 10, 64
NUM_TRAINED, NUM_TESTED = 1200, 400  # pictures
WEIGHT_ROUNDINGS = ("ties_to_even", "stochastic")


@dataclass(frozen=True)
class Precision:
    """Where a training step rounds to what.

    Parameters
    ----------
    forward : str or Format
        Weights as they are used, pictures, activations.
    backward : str or Format, optional
        Gradients; as ``forward`` by default. Usual in 8 bits: E4M3 forward, E5M2 backward.
    weights : str or Format
        Weights as they are kept.
    weight_rounding : str
        Of the kept weights: ``"ties_to_even"`` or ``"stochastic"``.
    loss_scaling : LossScaling
    accumulator : str or Format
        Of all matrix products.
    """

    forward: str | Format = "binary32"
    backward: str | Format | None = None
    weights: str | Format = "binary32"
    weight_rounding: str = "ties_to_even"
    loss_scaling: LossScaling = field(default_factory=LossScaling)
    accumulator: str | Format = "binary32"

    def __post_init__(self):
        for name in ("forward", "backward", "weights", "accumulator"):
            fmt = find_format(self.forward if getattr(self, name) is None else getattr(self, name))
            if fmt.precision > 24 or fmt.exponent_bits > 8:
                raise UsageError(
                    f"Precision: {name} is a format within binary32, but {fmt.name} has more digits or exponents: pass "
                    f"a shorter one, such as 'bfloat16'."
                )
            object.__setattr__(self, name, fmt)
        if self.weight_rounding not in WEIGHT_ROUNDINGS:
            raise UsageError(
                f"Precision: weight_rounding is {' or '.join(WEIGHT_ROUNDINGS)}, not {self.weight_rounding!r}: pass "
                f"one of them."
            )


@dataclass(frozen=True, eq=False)
class Gradients:
    """Of one step: by weights, before (exact) and after rounding; still multiplied by the scale."""

    loss: float
    of_weights: tuple[np.ndarray, np.ndarray]
    num_nonzero: int
    num_lost: int
    has_overflow: bool
    of_hidden: np.ndarray  # before it was rounded


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """What came of a training.

    Attributes
    ----------
    precision : Precision
    losses : ndarray of float64, shape (num_steps,)
        Mean cross-entropy of the batch, rounded to binary32.
    scales : ndarray of float64, shape (num_steps,)
    skipped : ndarray of bool, shape (num_steps,)
        Steps that were left out because a gradient overflowed.
    underflow_shares : ndarray of float64, shape (num_steps,)
        Of the gradients that are not 0, how many rounding made 0; 0 in a step without gradients.
    accuracy : float
        On pictures that were not trained on.
    hidden_gradients : ndarray of float64
        Of the hidden layer in the last step, not rounded, without the scale; those that are not 0.
    """

    precision: Precision
    losses: np.ndarray
    scales: np.ndarray
    skipped: np.ndarray
    underflow_shares: np.ndarray
    accuracy: float
    hidden_gradients: np.ndarray


def train(
    precision: Precision | None = None, *, num_steps: int = 200, batch_size: int = 64, num_hidden: int = 32,
    learning_rate: float = 0.5, seed: int = 1,
) -> TrainingRun:  # fmt: skip
    """Train a network with one hidden layer on pictures of handwritten digits, by plain gradient descent.

    Each step rounds the kept weights to the forward format, multiplies matrices with the emulated accumulator, takes
    softmax and loss, multiplies the gradient of the loss by the scale, rounds every gradient to the backward format on
    its way down, and divides by the scale before the update. What is no product of matrices is computed in binary64;
    the loss and the gradient by the logits are rounded to binary32, the new weights to the format they are kept in.
    Where a gradient is no finite number the step is left out.

    Parameters
    ----------
    precision : Precision, optional
        binary32 throughout by default.
    num_steps : int
        1 to 2000.
    batch_size, num_hidden : int
        1 to 512.
    learning_rate : float
        Above 0, up to 10.
    seed : int
        Of pictures, first weights, batches and stochastic rounding; the same for every precision.

    Examples
    --------
    >>> run = train(Precision("binary16", loss_scaling=LossScaling(2.0**10)), num_steps=40)
    >>> bool(run.losses[-1] < 0.5 * run.losses[0]), run.accuracy > 0.5, int(run.skipped.sum())
    (True, True, 0)
    """
    precision = Precision() if precision is None else precision
    for name, value, most in (
        ("num_steps", num_steps, 2000), ("batch_size", batch_size, 512), ("num_hidden", num_hidden, 512),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise UsageError(f"train: {name} is a whole number from 1 to {most}, not {value!r}: pass such a one.")
    if not isinstance(learning_rate, (int, float)) or not 0 < learning_rate <= 10:
        raise UsageError(f"train: learning_rate is a number above 0 and up to 10, not {learning_rate!r}: pass 0.5.")
    rng = np.random.default_rng(seed)
    (pictures, digits), (other_pictures, other_digits) = split_digits(NUM_TRAINED, NUM_TESTED, seed=seed)
    weights = [
        round_to(rng.standard_normal(shape) * np.sqrt(2 / shape[0]), precision.weights)
        for shape in ((NUM_PIXELS, num_hidden), (num_hidden, NUM_CLASSES))
    ]
    scale, num_good = float(precision.loss_scaling.scale), 0
    rows = []
    for _ in range(num_steps):
        batch = rng.integers(0, NUM_TRAINED, batch_size)
        found = find_gradients(weights, pictures[batch], digits[batch], precision, scale)
        if not found.has_overflow:
            weights = [
                _update(w, gradient / scale * learning_rate, precision, rng)
                for w, gradient in zip(weights, found.of_weights, strict=True)
            ]
        rows.append((found.loss, scale, found.has_overflow, found.num_lost / max(found.num_nonzero, 1)))
        hidden = found.of_hidden / scale
        scale, num_good = precision.loss_scaling.next(scale, num_good, overflowed=found.has_overflow)
    losses, scales, skipped, shares = (np.array(column) for column in zip(*rows, strict=True))
    logits = _forward(weights, other_pictures, precision)[1]
    accuracy = float((logits.argmax(axis=1) == other_digits).mean())
    hidden = hidden[np.isfinite(hidden) & (hidden != 0)]
    return TrainingRun(precision, losses, scales, skipped, shares, accuracy, hidden)


def _update(weights: np.ndarray, change: np.ndarray, precision: Precision, rng) -> np.ndarray:
    seed = int(rng.integers(2**62)) if precision.weight_rounding == "stochastic" else None
    return round_to(weights - change, precision.weights, rounding=precision.weight_rounding, seed=seed)


def _multiply(a: np.ndarray, b: np.ndarray, precision: Precision) -> np.ndarray:
    # The factors are rounded already, to formats within binary32, which therefore rounds no more.
    return multiply_matrices(a, b, inputs="binary32", accumulator=precision.accumulator, chunk_size=16)


def _forward(weights, pictures: np.ndarray, precision: Precision) -> tuple[np.ndarray, np.ndarray]:
    """Hidden layer (forward format) and logits (accumulator's format)."""
    used = [round_to(w, precision.forward) for w in weights]
    into_hidden = _multiply(round_to(pictures, precision.forward), used[0], precision)
    hidden = np.maximum(round_to(into_hidden, precision.forward), 0)
    return hidden, _multiply(hidden, used[1], precision)


def find_gradients(weights, pictures: np.ndarray, digits: np.ndarray, precision: Precision, scale: float) -> Gradients:
    """One step forward and backward.

    Parameters
    ----------
    weights : sequence of two ndarrays, shapes (64, num_hidden) and (num_hidden, 10)
    pictures : ndarray, shape (batch_size, 64)
    digits : ndarray of int, shape (batch_size,)
    precision : Precision
    scale : float
        Of the loss.
    """
    hidden, logits = _forward(weights, pictures, precision)
    with np.errstate(invalid="ignore", over="ignore"):
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = exponentials / exponentials.sum(axis=1, keepdims=True)
        picked = shares[np.arange(len(digits)), digits]
        loss = float(np.float32(-np.log(np.maximum(picked, 1e-45)).mean()))
        of_logits = (shares - np.eye(NUM_CLASSES)[digits]) / len(digits) * scale
    counts = np.zeros(2, int)

    def kept(gradient: np.ndarray) -> np.ndarray:
        found = round_to(gradient, precision.backward)
        counts[:] += (gradient != 0).sum(), ((gradient != 0) & (found == 0)).sum()
        return found

    of_logits = kept(round_to(of_logits, "binary32"))
    into_hidden = _multiply(of_logits, round_to(weights[1], precision.forward).T, precision)
    into_hidden = np.where(hidden > 0, into_hidden, 0)
    of_hidden = kept(into_hidden)
    of_second = kept(_multiply(hidden.T, of_logits, precision))
    of_first = kept(_multiply(round_to(pictures, precision.forward).T, of_hidden, precision))
    has_overflow = not (np.isfinite(of_first).all() and np.isfinite(of_second).all())
    return Gradients(loss, (of_first, of_second), int(counts[0]), int(counts[1]), has_overflow, into_hidden)
