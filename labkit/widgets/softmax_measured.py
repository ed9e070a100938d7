"""Softmax measured on this machine: passes over memory and times, errors in ulp. Each with a button."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from labkit.errors import NotAvailableError
from labkit.hardware.machine import this_machine
from labkit.softmax.accuracy import Accuracy, measure_accuracy
from labkit.softmax.ladder import VERSIONS
from labkit.softmax.passes import Passes, count_passes, stated_passes
from labkit.softmax.times import VersionTime, measure_times
from labkit.views.softmax import accuracy_figure
from labkit.views.softmax_passes import passes_figure
from labkit.views.theme import bytes_text
from labkit.widgets.experiment import Experiment

STYLE = {"description_width": "initial"}
# Rows and columns that are timed; rows of which the passes are counted
SHAPES = {
    "1 x 16777216": (1, 2**24), "64 x 262144": (64, 2**18), "512 x 32768": (512, 2**15), "16384 x 1024": (16_384, 1024),
}
COUNTED = 2**20  # elements
DTYPES = ("float32", "float64", "float16")
ON_CPU = tuple(name for name, version in VERSIONS.items() if not version.needs_gpu)
SPREADS = {"near each other (1)": 1.0, "apart (10)": 10.0, "far apart (100)": 100.0}


@dataclass(frozen=True)
class MemoryCosts:
    """What was counted and measured.

    Attributes
    ----------
    passes : tuple of Passes
    is_counted : bool
        Else they are those of the algorithms.
    times : tuple of VersionTime
    bandwidth : float
        Of main memory, in bytes/s.
    cache_bytes : int
        Of the last cache.
    """

    passes: tuple[Passes, ...]
    is_counted: bool
    times: tuple[VersionTime, ...]
    bandwidth: float
    cache_bytes: int


class PassesExplorer(Experiment):
    """Count how often versions go over memory, and time them beside the least time that this machine's memory allows.

    The passes are counted for rows as long as those that are timed, with a cache of 1 MiB. The least time is the bytes
    of these passes over the bandwidth that the roofline of this machine has for its main memory (measured once and
    kept, some ten seconds).

    Attributes
    ----------
    shape, dtype : ipywidgets.Dropdown
    value : MemoryCosts or None
        What was measured last.
    """

    def __init__(self):
        self.shape = widgets.Dropdown(options=list(SHAPES), description="rows x columns", style=STYLE)
        self.dtype = widgets.Dropdown(options=DTYPES, value="float32", description="type", style=STYLE)
        super().__init__(
            [self.shape, self.dtype], self._measure_costs,
            lambda costs: (passes_figure(costs.passes, bandwidth=costs.bandwidth, times=costs.times),), words=_words,
            label="Measure",
        )  # fmt: skip

    def _measure_costs(self, progress: Callable[[str], None]) -> MemoryCosts:
        progress("counting passes over memory ...")
        num_rows, num_columns = SHAPES[self.shape.value]
        width = min(num_columns, COUNTED)
        try:
            shape = {"num_rows": COUNTED // width, "num_columns": width}
            passes, is_counted = count_passes(**shape, dtype=self.dtype.value), True
        except NotAvailableError:
            passes, is_counted = stated_passes(ON_CPU), False
        machine = this_machine(progress)
        times = measure_times(num_rows, num_columns, dtype=self.dtype.value, rounds=3, progress=progress)
        bandwidth, cache_bytes = machine.roofline.memory_bandwidth, machine.topology.last_level_cache_bytes
        return MemoryCosts(passes, is_counted, times, bandwidth, cache_bytes)


def _words(costs: MemoryCosts) -> str:
    fastest = min(costs.times, key=lambda time: time.time_s)
    total = {one.version: one.total for one in costs.passes}[fastest.version]
    share = fastest.least_s(total, costs.bandwidth) / fastest.element_s
    words = (
        f"Memory gives {costs.bandwidth / 1e9:.3g} GB/s. The fastest, {fastest.version}, takes "
        f"{1e9 * fastest.element_s:.3g} ns an element: {share:.0%} of the speed that memory allows."
    )
    if 2 * fastest.num_elements * fastest.itemsize <= costs.cache_bytes:
        words += f" But x and result fit in the last cache, {bytes_text(costs.cache_bytes)}, faster than memory."
    if not costs.is_counted:
        words += " Passes are those of the algorithms: they can be counted on Linux on x86-64 only."
    return words + (" Others used this machine meanwhile: measure again." if fastest.busy else "")


class AccuracyExplorer(Experiment):
    """Measure the error of versions in units of the last place, against 50 digits.

    Attributes
    ----------
    dtype, spread : ipywidgets.Dropdown
        Type of the logits; how far they are apart: their standard deviation.
    num_columns : ipywidgets.Dropdown
    value : tuple of Accuracy, or None
        What was measured last.
    """

    def __init__(self):
        self.dtype = widgets.Dropdown(options=DTYPES, value="float32", description="type", style=STYLE)
        self.spread = widgets.Dropdown(options=list(SPREADS.items()), value=10.0, description="logits", style=STYLE)
        self.num_columns = widgets.Dropdown(options=(100, 1000, 10_000), value=1000, description="columns", style=STYLE)
        super().__init__(
            [self.dtype, self.spread, self.num_columns], self._measure_errors, lambda found: (accuracy_figure(found),),
            words=_accuracy_words, label="Measure errors",
        )  # fmt: skip

    def _measure_errors(self, progress: Callable[[str], None]) -> tuple[Accuracy, ...]:
        rng = np.random.default_rng(1)
        num_rows = max(1, 2000 // self.num_columns.value)
        x = (rng.standard_normal((num_rows, self.num_columns.value)) * self.spread.value).astype(self.dtype.value)
        found = []
        for name in ON_CPU:
            progress(f"{name}: {x.size:,} probabilities with 50 digits ...")
            found += measure_accuracy(x, [name])
        return tuple(found)


def _accuracy_words(found: tuple[Accuracy, ...]) -> str:
    good = [one for one in found if np.isfinite(one.max_ulp) and not VERSIONS[one.version].is_log]
    best = min(good, key=lambda one: one.max_ulp)
    broken = [one.version for one in found if not np.isfinite(one.max_ulp)]
    words = f"Least: {best.version}, at most {best.max_ulp:.3g} ulp in {best.num_results:,} probabilities above 1e-30."
    return words + (f" NaN or infinite: {', '.join(broken)}." if broken else "")
