"""Rows of logits that softmax must survive, and results computed with 50 digits."""

import mpmath
import numpy as np

NAN, INF = np.nan, np.inf
PLAIN = np.random.default_rng(7).normal(size=(5, 9)) * 3
DTYPES = (np.float16, np.float32, np.float64)

FINITE = {
    "plain": PLAIN,
    "far apart": PLAIN * 8,
    "offset": PLAIN + np.array([[0.0], [-900.0], [1e4], [60.0], [-1e4]]),
    "1e4": PLAIN * 3e3,
    "some -inf": np.where(PLAIN > 1, -INF, PLAIN),
    "subnormal": PLAIN * 1e-40,
    "one column": PLAIN[:, :1],
    "equal": np.full((2, 7), 3.5),
    "huge": PLAIN * 3e37,
}

BROKEN = {
    "all -inf": [-INF, -INF, -INF],
    "one column of -inf": [-INF],
    "inf": [1.0, INF, 2.0],
    "inf first": [INF, 1.0, 2.0],
    "inf and -inf": [-INF, INF, -INF],
    "two inf": [INF, INF, 0.0],
    "NaN": [1.0, NAN, 2.0],
    "NaN first": [NAN, 1.0, 2.0],
    "NaN last, far": [1.0, 5000.0, NAN],
    "negative NaN": [1.0, -NAN, 2.0],
    "negative NaN among -inf": [-INF, -NAN, -INF],
    "NaN alone": [NAN],
}


def cast(rows, dtype):
    with np.errstate(all="ignore"):
        return np.ascontiguousarray(np.asarray(rows, np.float64).astype(dtype))


def broken_row(name, dtype, width=None):
    """The row, or padded with zeros in front to a width; -NAN as a literal loses its sign in places."""
    row = np.array(BROKEN[name], dtype)
    if "negative" in name:
        row = np.where(np.isnan(row), np.copysign(dtype(NAN), dtype(-1)), row).astype(dtype)
    if width is not None:
        fill = -INF if np.isneginf(row[0]) else 0
        row = np.concatenate([np.full(width - row.size, fill, dtype), row])
    return row[None]


def exact(row):
    """Softmax of one row as a list of mpf."""
    with mpmath.workdps(60):
        e = [mpmath.exp(mpmath.mpf(float(v)) - mpmath.mpf(float(max(row)))) for v in row]
        return [v / mpmath.fsum(e) for v in e]


def errors_in_ulp(y, x, least=1e-30):
    """The errors of the probabilities above ``least``, in units of the last place of their type."""
    found = []
    for got, row in zip(y, x, strict=True):
        for value, p in zip(got, exact(row), strict=True):
            if p > least:
                unit = mpmath.mpf(float(np.spacing(y.dtype.type(float(p)))))
                found.append(float(abs(mpmath.mpf(float(value)) - p) / unit))
    return np.array(found)
