"""Why networks are not trained on what is wanted: the share of errors has no slope to follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.softmax.arguments import check_targets, count, positive
from labkit.softmax.calibration.network import Network, network_gradients


@dataclass(frozen=True, eq=False)
class LossLine:
    """Errors and loss while all weights move along a straight line.

    Attributes
    ----------
    steps : ndarray of float64, shape (num_points,)
        How far from the network, 0 in the middle; 1 moves each array of weights by its own length.
    errors : ndarray of float64, shape (num_points,)
        The share of pictures whose largest logit is not that of their class: constant but for jumps.
    losses : ndarray of float64, shape (num_points,)
        Mean cross-entropy, in nats.
    slopes : ndarray of float64, shape (num_points,)
        Derivative of the loss by the step, from the gradient.
    num_pictures : int
    """

    steps: np.ndarray
    errors: np.ndarray
    losses: np.ndarray
    slopes: np.ndarray
    num_pictures: int


def loss_line(
    network: Network, pictures: np.ndarray, targets, *, num_points: int = 201, reach: float = 1.0, seed: int = 1
) -> LossLine:
    """Errors and loss along a line through a network in a random direction.

    Parameters
    ----------
    network : Network
    pictures : array (n, pixels)
        Of few pictures single jumps are seen.
    targets : array (n,) of whole numbers
    num_points : int
        Odd ones have the network itself in the middle.
    reach : float
        How far to go to both sides.
    seed : int
        Of the direction.

    Examples
    --------
    >>> line = loss_line(Network.random(4, 3, 2), np.eye(4), [0, 1, 0, 1], num_points=101)
    >>> set((4 * line.errors).tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}, len(np.unique(line.losses))
    (True, 101)
    """
    steps = np.linspace(-1, 1, count("num_points", num_points, 2)) * positive("reach", reach)
    targets = check_targets(targets, len(pictures), len(network.b2))
    rng = np.random.default_rng(seed)
    direction = []
    for weights in network.weights:
        way = rng.standard_normal(weights.shape)
        direction.append(way * (np.linalg.norm(weights) / np.linalg.norm(way)))
    rows = []
    for step in steps:
        moved = Network(*(w + step * way for w, way in zip(network.weights, direction, strict=True)))
        loss, gradients = network_gradients(moved, pictures, targets)
        slope = sum(float((g * way).sum()) for g, way in zip(gradients, direction, strict=True))
        rows.append(((moved.logits(pictures).argmax(axis=1) != targets).mean(), loss, slope))
    errors, losses, slopes = (np.array(column, float) for column in zip(*rows, strict=True))
    return LossLine(steps, errors, losses, slopes, len(pictures))
