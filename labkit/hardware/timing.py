"""Honest timing: interleaved, repeated, and aware of who else used the machine."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BUSY_SHARE = 0.15  # of all cores, used by others


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things measured in turn, A B A B ..., in the same unit; lower is not always better."""

    ours: tuple[float, ...]
    other: tuple[float, ...]
    busy: bool = False

    @property
    def ratio(self) -> float:
        """Median of ours over median of the other."""
        return statistics.median(self.ours) / statistics.median(self.other)

    @property
    def difference(self) -> float:
        """Median of ours minus median of the other."""
        return statistics.median(self.ours) - statistics.median(self.other)


def seconds_of(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long one call takes."""
    start = clock()
    function()
    return clock() - start


def best_of(function: Callable[[], object], rounds: int = 5) -> float:
    """The shortest of several calls, in seconds, after one that is not counted."""
    function()
    return min(seconds_of(function) for _ in range(rounds))


def compare(
    ours: Callable[[], object], other: Callable[[], object], *, rounds: int = 9, warmup: int = 2
) -> Comparison:
    """Time two functions in turn, so that a drift of the machine's speed meets both."""
    for _ in range(warmup):
        ours(), other()
    times: tuple[list[float], list[float]] = [], []
    with Contention() as contention:
        for _ in range(rounds):
            times[0].append(seconds_of(ours))
            times[1].append(seconds_of(other))
    return Comparison(tuple(times[0]), tuple(times[1]), contention.busy)


class Contention:
    """Tells, after a ``with`` block, whether processes of others used much of the machine meanwhile."""

    def __enter__(self) -> Contention:
        self._before = _busy_seconds(), _own_seconds(), time.monotonic()
        self.others_share = 0.0
        return self

    def __exit__(self, *exc_info: object) -> None:
        system, own, now = _busy_seconds(), _own_seconds(), time.monotonic()
        elapsed = now - self._before[2]
        if system is None or self._before[0] is None or elapsed < 0.05:
            return
        others = (system - self._before[0]) - (own - self._before[1])
        self.others_share = max(0.0, others / (elapsed * (os.cpu_count() or 1)))

    @property
    def busy(self) -> bool:
        return self.others_share > BUSY_SHARE


def _busy_seconds() -> float | None:
    """CPU seconds that all processes have used since the machine started."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq, _ = map(int, fields)
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds that this process, its children and their children have used."""
    import psutil

    process = psutil.Process()
    total = 0.0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += sum(member.cpu_times()[:4])
        except psutil.Error:
            continue
    return total
