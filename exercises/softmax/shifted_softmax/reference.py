import numpy as np


def softmax(x):
    """Each row minus its maximum: the largest exponential is 1."""
    logits = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
        exponentials = np.exp(shifted)
        return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(x.dtype)
