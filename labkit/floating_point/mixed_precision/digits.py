"""Small pictures of digits, made up: enough to train a network on in a second."""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError

SIDE = 8
MOST_PICTURES = 10_000
# Segments of a display of seven: top, upper left, upper right, middle, lower left, lower right, bottom
SEGMENTS = (
    "1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011",
)


def make_digits(num_pictures: int = 600, *, noise: float = 0.2, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 8 x 8 pixels of the digits of a seven-segment display, moved a little, with noise.

    Parameters
    ----------
    num_pictures : int
        1 to 10 000.
    noise : float
        Deviation of each pixel, 0 to 2; the segments are 1, the rest 0.
    seed : int

    Returns
    -------
    pictures : ndarray of float64, shape (num_pictures, 64)
    digits : ndarray of int, shape (num_pictures,)

    Examples
    --------
    >>> pictures, digits = make_digits(1, noise=0, seed=3)
    >>> int(digits[0]), int(pictures.sum())
    (8, 17)
    """
    if not isinstance(num_pictures, int) or isinstance(num_pictures, bool) or not 1 <= num_pictures <= MOST_PICTURES:
        raise UsageError(
            f"make_digits: num_pictures is a whole number from 1 to {MOST_PICTURES}, not {num_pictures!r}: "
            f"pass such a one."
        )
    if not isinstance(noise, (int, float)) or not 0 <= noise <= 2:
        raise UsageError(f"make_digits: noise is a number from 0 to 2, not {noise!r}: pass such a one.")
    rng = np.random.default_rng(seed)
    shapes = np.array([_draw(segments) for segments in SEGMENTS])
    digits = rng.integers(0, 10, num_pictures)
    moves = rng.integers(0, (2, 3), (num_pictures, 2))
    pictures = np.zeros((num_pictures, SIDE, SIDE))
    for picture, digit, (down, right) in zip(pictures, digits, moves, strict=True):
        picture[down : down + 7, right + 1 : right + 6] = shapes[digit]
    pictures += noise * rng.standard_normal(pictures.shape)
    return pictures.reshape(num_pictures, -1), digits


def _draw(segments: str) -> np.ndarray:
    """A digit on 7 x 5 pixels."""
    shape = np.zeros((7, 5))
    places = (
        (0, slice(1, 4)), (slice(1, 3), 0), (slice(1, 3), 4), (3, slice(1, 4)), (slice(4, 6), 0), (slice(4, 6), 4),
        (6, slice(1, 4)),
    )
    for on, place in zip(segments, places, strict=True):
        shape[place] = float(on == "1")
    return shape
