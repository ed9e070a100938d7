"""As in the loop over logits, where the second part is one logit, but for the wrong one of two cases.

status: incorrect
feedback: only the first sum is scaled
"""

import numpy as np


def merge_states(m1, d1, m2, d2):
    m = np.maximum(m1, m2)
    return m, d1 * np.exp(m1 - m) + d2
