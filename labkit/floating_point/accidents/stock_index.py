"""The index of the stock exchange of Vancouver, 1982 to 1983: cut off at every trade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.floating_point.accidents.arguments import check_whole

MOST_DAYS = 1000


@dataclass(frozen=True, slots=True)
class StockIndex:
    """An index after each day: exact, cut to 3 decimals at every update, and rounded to 3 decimals at every update."""

    exact: np.ndarray
    truncated: np.ndarray
    rounded: np.ndarray


def vancouver(
    num_days: int = 460, *, updates_per_day: int = 2800, start: float = 1000.0, drift_per_day: float = 0.2,
    seed: int = 1,
) -> StockIndex:
    """A stock index that is recomputed at every trade and kept with 3 decimals, cut off or rounded.

    Each trade moves the index by a random amount of about 0.01, known to 6 decimals. What is cut off is 0 to 0.001 and
    0.0005 in the mean, always downwards; rounding errs to both sides, and the errors cancel.

    Parameters
    ----------
    num_days : int
        1 to 1000; 22 months have about 460 days of trading.
    updates_per_day : int
        1 to 10000.
    start, drift_per_day : float
        The index at first, and by how much it rises in a day in the mean.
    seed : int
        Of the random trades.

    Returns
    -------
    StockIndex
        Arrays of shape (num_days,).

    References
    ----------
    B. D. McCullough, H. D. Vinod, The numerical reliability of econometric software, Journal of Economic Literature
    37, 1999.

    Examples
    --------
    >>> index = vancouver(10)
    >>> float(round((index.exact - index.truncated)[-1])), 10 * 2800 * 0.0005
    (14.0, 14.0)
    """
    check_whole("vancouver", "num_days", num_days, 1, MOST_DAYS)
    check_whole("vancouver", "updates_per_day", updates_per_day, 1, 10_000)
    check_whole("vancouver", "seed", seed, 0, 2**63)
    rng = np.random.default_rng(seed)
    moves = rng.normal(drift_per_day / updates_per_day, 0.01, (num_days, updates_per_day))
    millionths = np.rint(moves * 1e6).astype(np.int64)  # whole numbers from here: nothing below is rounded unasked
    # The kept index is a whole number of thousandths, so cutting the sum cuts the move.
    cut, nearest = millionths // 1000, (millionths + 500) // 1000
    return StockIndex(
        exact=start + millionths.sum(axis=1).cumsum() / 1e6,
        truncated=start + cut.sum(axis=1).cumsum() / 1e3,
        rounded=start + nearest.sum(axis=1).cumsum() / 1e3,
    )
