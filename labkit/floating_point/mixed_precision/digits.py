"""Real pictures of handwritten digits, 8 x 8 pixels: enough to train a network on in a second.

They come with scikit-learn: 1797 pictures that 43 people wrote, shrunk from 32 x 32 (E. Alpaydin, C. Kaynak: Optical
Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998).
"""

from __future__ import annotations

import functools
from numbers import Integral

import numpy as np

from labkit.errors import UsageError

SIDE, NUM_PIXELS, NUM_DIGITS = 8, 64, 10
NUM_PICTURES = 1797
WHITE = 16  # the largest value of a pixel


@functools.cache
def _all_digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data / WHITE, found.target.astype(np.int64)


def split_digits(*sizes: int, seed: int = 1) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Parts of the pictures without a picture in common, for example to train, to fit and to test.

    Parameters
    ----------
    *sizes : int
        Pictures of each part: 1 or more, together 1797 at most.
    seed : int
        Of the order in which pictures are dealt out, 0 or more.

    Returns
    -------
    tuple of (pictures, digits), one for each size
        pictures : ndarray of float64, shape (size, 64), rows of a picture one after another, 0 (paper) to 1 (ink);
        digits : ndarray of int64, shape (size,).

    Raises
    ------
    UsageError
        Sizes or a seed out of range.

    Examples
    --------
    >>> (pictures, digits), (others, _) = split_digits(1000, 797)
    >>> pictures.shape, others.shape, sorted(set(digits.tolist())) == list(range(10))
    ((1000, 64), (797, 64), True)
    """
    for size in sizes:
        if not _is_whole(size) or size < 1:
            raise UsageError(f"split_digits: sizes are whole numbers of at least 1, not {size!r}: pass such ones.")
    if not sizes or sum(sizes) > NUM_PICTURES:
        raise UsageError(
            f"split_digits: there are {NUM_PICTURES} pictures, but the sizes {sizes} come to {sum(sizes)}: pass 1 to "
            f"{NUM_PICTURES} together."
        )
    if not _is_whole(seed) or seed < 0:
        raise UsageError(f"split_digits: seed is a whole number of at least 0, not {seed!r}: pass such a one.")
    pictures, digits = _all_digits()
    order = np.random.default_rng(seed).permutation(NUM_PICTURES)
    parts = np.split(order, np.cumsum(sizes))[: len(sizes)]
    return tuple((pictures[part], digits[part]) for part in parts)


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
