"""A network with one hidden layer, trained with the cross-entropy of this package."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.arguments import check_targets, count, positive, share
from labkit.softmax.cross_entropy import cross_entropy, cross_entropy_backward

BATCH_SIZE, LEARNING_RATE, MOMENTUM = 32, 0.2, 0.9


@dataclass(frozen=True, eq=False)
class Network:
    """``max(pictures @ w1 + b1, 0) @ w2 + b2``.

    Attributes
    ----------
    w1, b1, w2, b2 : ndarrays of float64, shapes (pixels, hidden), (hidden,), (hidden, classes), (classes,)
    """

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray

    @classmethod
    def random(cls, num_pixels: int, num_hidden: int, num_classes: int, *, seed: int = 1) -> Network:
        """First weights: normal, of variance 2 / inputs (He et al. 2015); biases 0."""
        rng = np.random.default_rng(seed)
        w1 = rng.standard_normal((num_pixels, num_hidden)) * np.sqrt(2 / num_pixels)
        w2 = rng.standard_normal((num_hidden, num_classes)) * np.sqrt(2 / num_hidden)
        return cls(w1, np.zeros(num_hidden), w2, np.zeros(num_classes))

    @property
    def weights(self) -> tuple[np.ndarray, ...]:
        """The four arrays."""
        return self.w1, self.b1, self.w2, self.b2

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """The logits of pictures: (n, pixels) to (n, classes)."""
        return self._forward(pictures)[1]

    def _forward(self, pictures) -> tuple[np.ndarray, np.ndarray]:
        pictures = np.asarray(pictures, np.float64)
        if pictures.ndim != 2 or pictures.shape[1] != len(self.w1):
            raise UsageError(
                f"pictures are rows of {len(self.w1)} pixels, but their shape is {pictures.shape}: pass for example "
                f"pictures.reshape(-1, {len(self.w1)})."
            )
        hidden = np.maximum(pictures @ self.w1 + self.b1, 0)
        return hidden, hidden @ self.w2 + self.b2


def network_gradients(
    network: Network, pictures: np.ndarray, targets, *, label_smoothing: float = 0.0
) -> tuple[float, tuple[np.ndarray, ...]]:
    """The mean loss of pictures, and its gradients by the four arrays of weights.

    The gradient by the logits is ``(softmax(logits) - targets) / n``: that is all of softmax there is in it.

    Examples
    --------
    >>> network = Network.random(4, 3, 2)
    >>> loss, gradients = network_gradients(network, np.ones((5, 4)), [0, 1, 0, 1, 1])
    >>> [g.shape for g in gradients], abs(float(gradients[3].sum())) < 1e-12
    ([(4, 3), (3,), (3, 2), (2,)], True)
    """
    hidden, logits = network._forward(pictures)
    team = _one_thread()  # a batch is too small to share
    loss = cross_entropy(logits, targets, label_smoothing=label_smoothing, team=team).mean()
    by_logits = cross_entropy_backward(logits, targets, label_smoothing=label_smoothing, team=team)
    by_hidden = (by_logits @ network.w2.T) * (hidden > 0)
    first = np.asarray(pictures, np.float64).T @ by_hidden
    return float(loss), (first, by_hidden.sum(axis=0), hidden.T @ by_logits, by_logits.sum(axis=0))


def train_network(
    pictures: np.ndarray, targets, *, num_classes: int = 10, num_hidden: int = 64, num_epochs: int = 200,
    label_smoothing: float = 0.0, learning_rate: float = LEARNING_RATE, seed: int = 1,
) -> tuple[Network, np.ndarray]:  # fmt: skip
    """Train a network by gradient descent with momentum 0.9 on batches of 32.

    Parameters
    ----------
    pictures : array (n, pixels)
    targets : array (n,) of whole numbers from 0 to ``num_classes - 1``
    num_classes, num_hidden, num_epochs : int
        An epoch uses every picture once. 0 epochs leave the first weights.
    label_smoothing : float
        0 to 1, see :func:`labkit.softmax.cross_entropy.cross_entropy`.
    learning_rate : float
        Above 0.
    seed : int
        Of first weights and batches. The same arguments give the same network.

    Returns
    -------
    network : Network
    losses : ndarray of float64, shape (num_epochs,)
        The mean loss of the batches of each epoch, in nats.

    Raises
    ------
    UsageError
        No pictures, or values out of range.

    Examples
    --------
    >>> pictures, targets = np.eye(4), np.arange(4)
    >>> network, losses = train_network(pictures, targets, num_classes=4, num_epochs=100)
    >>> network.logits(pictures).argmax(axis=1).tolist(), bool(losses[-1] < 0.1 < 1 < losses[0])
    ([0, 1, 2, 3], True)
    """
    pictures = np.asarray(pictures)
    if pictures.ndim != 2 or not pictures.size or not isinstance(learning_rate, Real):
        raise UsageError(
            f"train_network: pictures are rows of pixels, at least one, not of the shape {pictures.shape}, and the "
            f"learning rate a number, not {learning_rate!r}: pass such ones."
        )
    num_classes, num_hidden = count("num_classes", num_classes), count("num_hidden", num_hidden)
    num_epochs, rate = count("num_epochs", num_epochs, 0), positive("learning_rate", learning_rate)
    targets = check_targets(targets, len(pictures), num_classes)
    smoothing, seed = share("label_smoothing", label_smoothing), count("seed", seed, 0)
    network = Network.random(pictures.shape[1], num_hidden, num_classes, seed=seed)
    speeds = [np.zeros_like(w) for w in network.weights]
    rng = np.random.default_rng((seed, 1))
    losses = np.empty(num_epochs)
    for epoch in range(num_epochs):
        order = rng.permutation(len(pictures))
        batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
        total = 0.0
        for batch in batches:
            loss, gradients = network_gradients(network, pictures[batch], targets[batch], label_smoothing=smoothing)
            total += loss * len(batch)
            for weights, speed, gradient in zip(network.weights, speeds, gradients, strict=True):
                speed *= MOMENTUM
                speed -= rate * gradient
                weights += speed
        losses[epoch] = total / len(order)
    return network, losses


def _one_thread():
    from labkit.openmp.team import Team  # brings Numba

    return Team(1)
