import numpy as np


def log_softmax(x):
    """The maximum is subtracted first; the logarithm of the sum is small then, and subtracted last."""
    logits = x.astype(np.float32) if x.dtype == np.float16 else x
    with np.errstate(all="ignore"):
        shifted = logits - logits.max(axis=1, keepdims=True)
        return (shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))).astype(x.dtype)
