"""Rows without a softmax become numbers.

status: incorrect
feedback: do not hide it
"""

import numpy as np


def log_softmax(x):
    logits = x.astype(np.float32) if x.dtype == np.float16 else x
    shifted = np.where(np.isneginf(logits), -np.inf, np.nan_to_num(logits - logits.max(axis=1, keepdims=True)))
    return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(x.dtype)
