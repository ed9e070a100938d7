"""Logits are clipped to where exp is finite.

status: incorrect
feedback: logits were clipped
"""

import numpy as np


def softmax(x):
    e = np.exp(np.clip(x, -700, 700))
    return e / e.sum(axis=1, keepdims=True)
