"""Each logit is moved a little, and the loss calculated again.

status: incorrect
feedback: half of the digits
"""

import numpy as np


def loss(x, targets, s):
    shifted = x - x.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -np.mean((1 - s) * logs[np.arange(len(x)), targets] + s * logs.mean(axis=1))


def cross_entropy_gradient(x, targets, label_smoothing):
    gradient, h = np.zeros_like(x), 1e-6
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        gradient[index] = (loss(up, targets, label_smoothing) - loss(down, targets, label_smoothing)) / (2 * h)
    return gradient
