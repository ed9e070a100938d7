"""A run in a few lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.serving.load.result import LoadResult

PERCENTILES = (50, 90, 99, 99.9)


def summary(result: LoadResult) -> str:
    """See :meth:`labkit.serving.load.result.LoadResult.summary`."""
    lines = [
        f"{result.url}, {result.kind} loop: {len(result)} requests in {result.elapsed_s:.2f} s, {result.num_ok} "
        f"answered well, {result.throughput:.4g} a second"
    ]
    if result.kind == "open" and not math.isnan(result.offered_rate):
        lines[0] += f" of {result.offered_rate:.4g} offered"
    if result.is_stopped:
        left = result.num_planned - len(result)
        lines.append(f"stopped before its end: {left} requests were not sent" if left else "stopped before its end")
    if result.num_ok:
        values = [f"p{q:g} {seconds(result.percentile(q, failures='left out'))}" for q in PERCENTILES]
        values.append(f"most {seconds(result.percentile(100, failures='left out'))}")
        lines.append(f"latency of good answers: {', '.join(values)}")
    if result.errors:
        parts = ", ".join(f"{words} {count}" for words, count in result.errors.items())
        lines.append(f"failed: {result.error_fraction:.2%} of the requests: {parts}")
        bad = [status for status in sorted(result.first_answers) if not 200 <= status < 300]
        lines += [f"  the first with status {status}: {result.first_answers[status][:200]}" for status in bad]
    if len(result):
        late = sorted(result.lateness_s)[math.ceil(0.99 * len(result)) - 1]
        share = result.cpu_s / result.elapsed_s if result.elapsed_s > 0 else 0.0
        lines.append(
            f"the generator: {result.num_connections} connections, 99 % of its requests started within {seconds(late)} "
            f"of their time, {share:.0%} of a core"
        )
    if result.is_generator_limited:
        lines.append(f"THE GENERATOR LIMITED THIS RUN: {result.generator_limit}.")
    return "\n".join(lines)


def seconds(value: float) -> str:
    """Seconds with a unit.

    Examples
    --------
    >>> seconds(0.00123), seconds(2.5), seconds(0.0000042), seconds(float("inf"))
    ('1.23 ms', '2.5 s', '4.2 µs', 'infinite')
    """
    if math.isinf(value):
        return "infinite"
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"
