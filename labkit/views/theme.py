"""One look for all figures: colours, fonts, units. Readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

INK = "#7a7f87"  # text and axes: readable on white and on near-black
GRID = "rgba(128,128,128,0.25)"
ACCENT = "#d1495b"
# Okabe and Ito's colours, which colour-blind readers tell apart
KIND_COLOURS = {
    "send": "#0072b2",
    "recv": "#009e73",
    "sendrecv": "#56b4e9",
    "collective": "#cc79a7",
    "wait": "#e69f00",
    "probe": "#c8b900",
    "window": "#d55e00",
    "compute": "#9aa0a6",
    "other": "#9aa0a6",
}
WAITING_COLOUR = "rgba(213,94,0,0.30)"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


def base_layout(title: str, height: int) -> dict:
    """What every figure's layout starts from."""
    axis = {
        "gridcolor": GRID, "zeroline": False, "linecolor": GRID, "tickfont": {"color": INK},
        "title": {"font": {"color": INK}},
    }
    return {
        "template": go.layout.Template(layout={"colorway": list(SERIES), "xaxis": axis, "yaxis": axis}),
        "title": {
            "text": title, "font": {"size": 14, "color": INK}, "x": 0.01, "xanchor": "left",
            "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14},  # clear of the legend
        },
        "font": {"family": "system-ui, Segoe UI, Helvetica, Arial, sans-serif", "size": 12, "color": INK},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "height": height,
        "margin": {"l": 70, "r": 30, "t": 60, "b": 50},
        "hoverlabel": {"font": {"size": 12}, "align": "left"},
        "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"color": INK}},
    }


def time_unit(duration_ns: float) -> tuple[float, str]:
    """The unit that suits a duration: nanoseconds in it, and its name.

    Examples
    --------
    >>> time_unit(2_500_000)
    (1000000.0, 'ms')
    """
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if duration_ns >= size:
            return size, name
    return 1.0, "ns"


def time_text(duration_ns: float) -> str:
    """A duration in words.

    Examples
    --------
    >>> time_text(1_234_000), time_text(0), time_text(999), time_text(999.7)
    ('1.23 ms', '0 ns', '999 ns', '1 µs')
    """
    size, name = time_unit(float(f"{duration_ns:.3g}"))  # of what will be read
    return f"{duration_ns / size:.3g} {name}"


def bytes_text(num_bytes: float) -> str:
    """A number of bytes in words, in powers of 1024.

    Examples
    --------
    >>> bytes_text(96), bytes_text(65536), bytes_text(3 * 2**20), bytes_text(1010 * 1024)
    ('96 B', '64 KiB', '3 MiB', '1010 KiB')
    """
    for power, name in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if round(num_bytes / 1024 ** (power - 1)) >= 1024:  # of what would be read in the smaller unit
            number = num_bytes / 1024**power
            return f"{number:.0f} {name}" if 999.5 <= number < 1024 else f"{number:.3g} {name}"
    return f"{num_bytes:.0f} B"


def point_ticks(xs: Iterable[float], low: float, high: float, *, at_most: int = 8) -> list[float]:
    """Ticks of a logarithmic axis at the points themselves, as many as have room.

    Parameters
    ----------
    xs : iterable of float
        All above 0.
    low, high : float
        Logarithms (of 10) of the ends of the axis.
    at_most : int
        So many beside each other can be read.

    Examples
    --------
    >>> point_ticks([8 * 4**k for k in range(12)], 0.8, 7.6)
    [8.0, 128.0, 2048.0, 32768.0, 524288.0, 8388608.0]
    >>> point_ticks([1000, 1001], 2.85, 3.15)
    [1000.0]
    """
    ticks: list[float] = []
    for x in sorted(set(xs)):
        if not ticks or math.log10(x / ticks[-1]) >= (high - low) / at_most:
            ticks.append(float(x))
    return ticks


def time_ticks(seconds: Sequence[float], low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis of times: decades; 2 and 5 times them, too, where there are few; or else the ends.

    Parameters
    ----------
    seconds : sequence of float
        What is shown, all above 0.
    low, high : float
        Logarithms (of 10) of the ends of the axis.

    Examples
    --------
    >>> time_ticks([1e-6, 1e-4], -6.1, -3.9), time_ticks([2e-6, 9e-6], -5.8, -5)
    ([1e-06, 1e-05, 0.0001], [2e-06, 5e-06, 1e-05])
    >>> time_ticks([3e-6, 4e-6], -5.6, -5.35)
    [3e-06, 4e-06]
    """
    decades = range(math.floor(low), math.ceil(high) + 1)
    for steps in ((1,), (1, 2, 5)):
        ticks = [float(f"{step}e{k}") for k in decades for step in steps]
        ticks = [tick for tick in ticks if low - 1e-9 <= math.log10(tick) <= high + 1e-9]
        if len(ticks) >= 2:
            return ticks
    ends = min(seconds), max(seconds)
    return list(ends) if ends[1] > 1.1 * ends[0] else [ends[0]]
