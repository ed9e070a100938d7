"""Ariane 5, flight 501, 1996: a 64-bit floating-point number that does not fit into a 16-bit integer."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.floating_point.accidents.arguments import check_real, check_whole

ON_OVERFLOW = ("trap", "wrap", "saturate")
FAILURE_S = 36.7  # after the main engine's ignition, when both inertial reference systems stopped
MOST_SECONDS = 1000
LARGEST = 2.0**62  # of a number that is converted: its whole part is an int64


@dataclass(frozen=True, eq=False)
class Converted:
    """Integers made of floating-point numbers.

    Attributes
    ----------
    integers : ndarray of int64
        Of the numbers before the trap, or of all of them.
    trapped_at : int or None
        Place of the number that stopped the program.
    num_overflows : int
        How many of the numbers do not fit, the one that trapped included.
    """

    integers: np.ndarray
    trapped_at: int | None
    num_overflows: int


def to_integer(values, *, num_bits: int = 16, on_overflow: str = "trap") -> Converted:
    """Floating-point numbers as signed integers of a few bits, the part behind the point cut off.

    Parameters
    ----------
    values : array_like of float, shape (n,)
        Finite numbers up to 2**62.
    num_bits : int
        Of the integers, 2 to 62.
    on_overflow : str
        What happens to a number outside ``-2**(num_bits-1)`` to ``2**(num_bits-1) - 1``. ``"trap"``: the program stops
        there, as an Ada program without a handler does. ``"wrap"``: the low bits are kept, as many processors do
        when they store a wider integer. ``"saturate"``: the nearest integer that fits.

    Raises
    ------
    UsageError
        Other values, widths or words.

    Examples
    --------
    >>> to_integer([1.9, -1.9, 32768.0], on_overflow="wrap").integers.tolist()
    [1, -1, -32768]
    >>> to_integer([1.9, 32768.0, 5.0]).trapped_at, to_integer([1e9], on_overflow="saturate").integers.tolist()
    (1, [32767])
    """
    check_whole("to_integer", "num_bits", num_bits, 2, 62)
    if on_overflow not in ON_OVERFLOW:
        near = difflib.get_close_matches(str(on_overflow), ON_OVERFLOW, 1)
        nearest = f"did you mean {near[0]!r}? " if near else ""
        raise UsageError(
            f"to_integer: on_overflow is 'trap', 'wrap' or 'saturate', not {on_overflow!r}: {nearest}Pass one of them."
        )
    numbers = np.atleast_1d(np.asarray(values))
    if numbers.ndim != 1 or numbers.dtype.kind not in "fiu":
        raise UsageError(
            f"to_integer: values are numbers in one row, not {numbers.dtype} of shape {numbers.shape}: pass a list."
        )
    numbers = numbers.astype(np.float64)
    if not (np.abs(numbers) <= LARGEST).all():  # False for NaN, too
        raise UsageError(
            f"to_integer: values are finite and at most 2**62, but one is {numbers[~(np.abs(numbers) <= LARGEST)][0]}: "
            f"leave it out."
        )
    whole = np.trunc(numbers).astype(np.int64)
    low, high = -(2 ** (num_bits - 1)), 2 ** (num_bits - 1) - 1
    overflows = (whole < low) | (whole > high)
    if on_overflow == "trap":
        at = int(overflows.argmax()) if overflows.any() else None
        return Converted(whole[:at], at, int(at is not None))
    if on_overflow == "wrap":
        whole = ((whole - low) & (2**num_bits - 1)) + low
    return Converted(np.clip(whole, low, high), None, int(overflows.sum()))


@dataclass(frozen=True, eq=False)
class Flight:
    """The horizontal bias of a rocket's inertial reference system, and the integer made of it.

    Attributes
    ----------
    times_s : ndarray of float64, shape (n,)
        Since the ignition of the main engine.
    bias : ndarray of float64, shape (n,)
    converted : Converted
    num_bits : int
    on_overflow : str
    """

    times_s: np.ndarray
    bias: np.ndarray
    converted: Converted
    num_bits: int
    on_overflow: str


def ariane(
    num_seconds: float = 60.0, *, growth: float = 1.0, num_bits: int = 16, on_overflow: str = "trap",
    samples_per_s: int = 10,
) -> Flight:  # fmt: skip
    """A flight whose horizontal bias grows with the square of the time, converted at every sample.

    The alignment of the platform ran on after lift-off, though nothing needed it. It converted a value that grows with
    the horizontal velocity; the check was left out because on Ariane 4 the value could not become so large. On Ariane 5
    it could: the conversion trapped, in the backup as well, and the guidance read a diagnostic pattern as data.

    Parameters
    ----------
    num_seconds : float
        0.1 to 1000.
    growth : float
        Against Ariane 5; a slower rocket, as Ariane 4 was, has less: 0 to 100.
    num_bits : int
        Of the integer, 2 to 62.
    on_overflow : str
        As in :func:`to_integer`.
    samples_per_s : int
        1 to 1000.

    Notes
    -----
    The course of the bias is a model, not telemetry: ``32768 * growth * (t / 36.7 s)**2`` puts the overflow of Ariane 5
    at the time that the report has, and says nothing of the values in between. A converted value that wraps or
    saturates would have been wrong as well, but nobody needed it.

    References
    ----------
    J. L. Lions (chair), Ariane 5 Flight 501 Failure, report by the inquiry board, 1996, sections 2.1 and 2.2.

    Examples
    --------
    >>> flight = ariane()
    >>> float(flight.times_s[flight.converted.trapped_at]), int(flight.converted.integers[-1])
    (36.7, 32589)
    >>> ariane(growth=0.2).converted.trapped_at is None
    True
    """
    check_real("ariane", "num_seconds", num_seconds, 0.1, MOST_SECONDS)
    check_real("ariane", "growth", growth, 0, 100)
    check_whole("ariane", "samples_per_s", samples_per_s, 1, 1000)
    times_s = np.arange(int(num_seconds * samples_per_s) + 1) / samples_per_s
    bias = 2.0**15 * growth * (times_s / FAILURE_S) ** 2
    converted = to_integer(bias, num_bits=num_bits, on_overflow=on_overflow)
    return Flight(times_s, bias, converted, num_bits, on_overflow)
