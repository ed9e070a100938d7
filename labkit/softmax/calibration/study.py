"""The digits classified: trained on few pictures, the temperature fitted on others, judged on the rest."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.mixed_precision.digits import NUM_PICTURES, split_digits
from labkit.softmax.arguments import count
from labkit.softmax.calibration.network import Network, train_network
from labkit.softmax.calibration.reliability import Calibration, calibration
from labkit.softmax.calibration.temperature import TemperatureFit, fit_temperature

NUM_HELD_OUT = 600
MOST_TRAINED = NUM_PICTURES - NUM_HELD_OUT - 100  # 100 at least to judge on


@dataclass(frozen=True, eq=False)
class Scored:
    """Pictures, what the network makes of them, and what they are.

    Attributes
    ----------
    pictures : ndarray of float64, shape (n, 64)
    logits : ndarray of float64, shape (n, 10)
    targets : ndarray of int64, shape (n,)
    """

    pictures: np.ndarray
    logits: np.ndarray
    targets: np.ndarray

    def calibration(self, temperature: float = 1.0, *, num_bins: int = 15, bins: str = "width") -> Calibration:
        """See :func:`.reliability.calibration`."""
        return calibration(self.logits, self.targets, temperature=temperature, num_bins=num_bins, bins=bins)


@dataclass(frozen=True, eq=False)
class Study:
    """A network trained on digits, and its temperature.

    Attributes
    ----------
    network : Network
    losses : ndarray of float64, shape (num_epochs,)
        In training, in nats.
    trained, held_out, test : Scored
        What it was trained on; what the temperature was fitted on; what nothing was fitted on.
    temperature : TemperatureFit
    label_smoothing : float
    """

    network: Network
    losses: np.ndarray
    trained: Scored
    held_out: Scored
    test: Scored
    temperature: TemperatureFit
    label_smoothing: float


def digits_study(
    *, num_train: int = 200, num_hidden: int = 64, num_epochs: int = 200, label_smoothing: float = 0.0, seed: int = 1
) -> Study:
    """Train on digits, fit the temperature on 600 others; about a second, and kept for the next call.

    Parameters
    ----------
    num_train : int
        Pictures to train on, up to 1097. Few make a network that is too sure of itself.
    num_hidden, num_epochs, label_smoothing
        See :func:`.network.train_network`. With smoothing the network is not sure enough.
    seed : int
        Of the split, first weights and batches.

    Raises
    ------
    UsageError
        Values out of range.

    Examples
    --------
    >>> study = digits_study()
    >>> before, after = study.test.calibration(), study.test.calibration(study.temperature.temperature)
    >>> before.mean_confidence - before.accuracy > 0.03, after.expected_error < before.expected_error / 1.5
    (True, True)
    >>> before.accuracy == after.accuracy > 0.9, after.loss < before.loss
    (True, True)
    """
    if count("num_train", num_train) > MOST_TRAINED:
        raise UsageError(f"digits_study: num_train is 1 to {MOST_TRAINED}, not {num_train}: pass such a number.")
    return _study(num_train, num_hidden, num_epochs, float(label_smoothing), seed)


@functools.lru_cache(maxsize=8)
def _study(num_train, num_hidden, num_epochs, label_smoothing, seed) -> Study:
    sizes = num_train, NUM_HELD_OUT, NUM_PICTURES - NUM_HELD_OUT - num_train
    parts = split_digits(*sizes, seed=seed)
    network, losses = train_network(
        *parts[0], num_hidden=num_hidden, num_epochs=num_epochs, label_smoothing=label_smoothing, seed=seed
    )
    trained, held_out, test = (Scored(pictures, network.logits(pictures), targets) for pictures, targets in parts)
    fit = fit_temperature(held_out.logits, held_out.targets)
    return Study(network, losses, trained, held_out, test, fit, label_smoothing)
