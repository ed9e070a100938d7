"""Are the probabilities true? Confidence against accuracy, and what is lost in likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.arguments import check_rows, check_targets, count, positive
from labkit.softmax.cross_entropy import cross_entropy
from labkit.softmax.options import prepared_logits
from labkit.softmax.shifted import softmax_shifted

BINS = ("width", "count")


@dataclass(frozen=True, eq=False)
class Calibration:
    """The reliability curve of a classifier and its numbers.

    The confidence of a row is its largest probability. Bin k has the rows with confidences above ``edges[k]``, up to
    and with ``edges[k + 1]``; the first has those at its lower edge too.

    Attributes
    ----------
    temperature : float
    edges : ndarray of float64, shape (num_bins + 1,)
    counts : ndarray of int, shape (num_bins,)
    confidences, accuracies : ndarrays of float64, shape (num_bins,)
        Means of the bins; NaN where a bin is empty.
    expected_error : float
        Expected calibration error: the mean of ``|accuracy - confidence|`` of the bins, weighted by their counts.
    largest_error : float
        The largest of the bins.
    accuracy, mean_confidence : float
        Of all rows.
    loss : float
        Mean negative log-likelihood of the right classes, in nats; infinite if one has the probability 0.
    brier : float
        Mean of the squared distances of probabilities to the targets, 0 to 2.
    """

    temperature: float
    edges: np.ndarray
    counts: np.ndarray
    confidences: np.ndarray
    accuracies: np.ndarray
    expected_error: float
    largest_error: float
    accuracy: float
    mean_confidence: float
    loss: float
    brier: float


def calibration(
    logits: np.ndarray, targets, *, temperature: float = 1.0, num_bins: int = 15, bins: str = "width"
) -> Calibration:
    """The reliability curve of logits at a temperature.

    Parameters
    ----------
    logits : array (n, C), contiguous, of float16, float32 or float64
        Rows that have a softmax: no NaN, no +inf, something above -inf.
    targets : array (n,) of whole numbers
        The right classes.
    temperature : float
        The logits are divided by it.
    num_bins : int
    bins : str
        ``"width"``: equal parts of 0 to 1; ``"count"``: as many rows in each, as far as equal confidences allow.

    Raises
    ------
    UsageError
        No rows, rows without a softmax, or values out of range.

    Notes
    -----
    The expected error depends on the bins and is never negative: a perfect classifier too shows some, from few rows.

    References
    ----------
    Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities using Bayesian binning, AAAI 2015.

    Examples
    --------
    >>> found = calibration(np.log([[0.8, 0.2]] * 5), [0, 0, 0, 0, 1], num_bins=5)
    >>> round(found.mean_confidence, 9), found.accuracy, round(found.expected_error, 9), found.counts.tolist()
    (0.8, 0.8, 0.0, [0, 0, 0, 5, 0])
    """
    logits, targets = _checked(logits, targets)
    tempered = prepared_logits(logits, temperature=positive("temperature", temperature))
    p = softmax_shifted(tempered)
    number = count("num_bins", num_bins)
    if bins not in BINS:
        raise UsageError(f"bins: one of {', '.join(BINS)}, not {bins!r}: pass one of these.")
    confidence, right = p.max(axis=1), p.argmax(axis=1) == targets
    at = np.linspace(0, 1, number + 1)
    edges = at if bins == "width" else np.quantile(confidence, at)
    place = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(place, minlength=number)
    with np.errstate(invalid="ignore"):
        confidences = np.bincount(place, confidence, number) / counts
        accuracies = np.bincount(place, right, number) / counts
    gaps = np.abs(accuracies - confidences)[counts > 0]
    distance = p.copy()
    distance[np.arange(len(p)), targets] -= 1
    return Calibration(
        float(temperature), edges, counts, confidences, accuracies,
        expected_error=float((gaps * counts[counts > 0]).sum() / len(p)), largest_error=float(gaps.max()),
        accuracy=float(right.mean()), mean_confidence=float(confidence.mean()),
        loss=float(cross_entropy(tempered, targets).mean()), brier=float((distance**2).sum(axis=1).mean()),
    )  # fmt: skip


def negative_log_likelihood(logits: np.ndarray, targets, *, temperature: float = 1.0) -> float:
    """The mean of ``-log(probability of the right class)``, in nats: cross-entropy by another name.

    Parameters and errors as :func:`calibration`.

    Examples
    --------
    >>> round(negative_log_likelihood(np.log([[0.25, 0.75]]), [0]), 9) == round(float(np.log(4)), 9)
    True
    """
    logits, targets = _checked(logits, targets)
    return float(cross_entropy(prepared_logits(logits, temperature=temperature), targets).mean())


def _checked(logits, targets) -> tuple[np.ndarray, np.ndarray]:
    """In float64; rows that have a softmax."""
    check_rows("logits", logits)
    if not logits.size:
        raise UsageError(f"logits have at least one row and one class, but their shape is {logits.shape}: pass some.")
    largest = logits.max(axis=1)
    if not np.isfinite(largest).all():
        row = int(np.argmin(np.isfinite(largest)))
        raise UsageError(
            f"each row of logits has a largest number that is finite, but that of row {row} is {largest[row]}: leave "
            f"such rows out."
        )
    return logits.astype(np.float64), check_targets(targets, *logits.shape)
