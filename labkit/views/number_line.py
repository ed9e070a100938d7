"""The numbers of a format around a value: on a line with their spacing, and the bits of what is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import plotly.graph_objects as go

from labkit.errors import UsageError
from labkit.floating_point.codec import decode_exact
from labkit.floating_point.texts import exact_decimal
from labkit.floating_point.ulp import Stored, next_down, next_up
from labkit.views.bit_fields import draw_bits
from labkit.views.theme import ACCENT, INK, SERIES, base_layout

FEWEST, MOST = 1, 40  # numbers on each side
LONGEST_LABEL = 9


@dataclass(frozen=True, slots=True)
class NumberLine:
    """What the picture shows.

    Attributes
    ----------
    numbers : tuple of (int, Fraction)
        Codes and exact values around the middle, in the order of their values.
    positions : tuple of float
        Where they are drawn: steps of ``unit`` from ``origin``, so that the smallest differences are seen.
    origin, unit : Fraction
    typed_at : float or None
        Where the typed number is drawn; None for infinity and NaN.
    stored_at : float or None
    candidates : tuple of (str, int, float)
        The two numbers that rounding chooses between: "below" or "above", place in ``numbers``, and the distance
        from the typed number in ulp. Empty where the typed number is a number of the format.
    """

    numbers: tuple[tuple[int, Fraction], ...]
    positions: tuple[float, ...]
    origin: Fraction
    unit: Fraction
    typed_at: float | None
    stored_at: float | None
    candidates: tuple[tuple[str, int, float], ...]


def number_line(stored: Stored, *, num_each_side: int = 6) -> NumberLine:
    """The numbers around a stored one.

    Parameters
    ----------
    stored : labkit.floating_point.ulp.Stored
    num_each_side : int
        How many neighbours to each side, 1 to 40; fewer at the end of a format.

    Raises
    ------
    UsageError
        Another number of neighbours.
    """
    if not isinstance(num_each_side, int) or isinstance(num_each_side, bool) or not FEWEST <= num_each_side <= MOST:
        raise UsageError(
            f"number_line: num_each_side is a whole number from {FEWEST} to {MOST}, not {num_each_side!r}: "
            f"pass such a one."
        )
    fmt = stored.fmt
    middle = _middle_code(stored)
    codes = [middle]
    for step, at in ((next_down, 0), (next_up, len(codes))):
        code = middle
        for _ in range(num_each_side):
            code = step(code, fmt)
            last = codes[0] if at == 0 else codes[-1]
            if code & ~fmt.sign_bit > fmt.max_code or code == last:
                break  # infinity, or the end of a format without it
            codes.insert(0 if at == 0 else len(codes), code)
    numbers = tuple((code, decode_exact(code, fmt)) for code in codes)
    origin = decode_exact(middle, fmt)
    unit = min(b - a for (_, a), (_, b) in zip(numbers, numbers[1:], strict=False))
    positions = tuple(float((value - origin) / unit) for _, value in numbers)
    typed = stored.typed if isinstance(stored.typed, Fraction) else None
    low, high = numbers[0][1], numbers[-1][1]
    return NumberLine(
        numbers=numbers, positions=positions, origin=origin, unit=unit,
        # A number far beyond the largest one is drawn just beyond it.
        typed_at=None if typed is None else float((min(max(typed, low - unit), high + unit) - origin) / unit),
        stored_at=float((stored.value - origin) / unit) if isinstance(stored.value, Fraction) else None,
        candidates=() if typed is None else _candidates(typed, numbers, stored.ulp),
    )


def _middle_code(stored: Stored) -> int:
    """The stored number; the largest one where infinity is stored, and zero where NaN was typed or there is no sign."""
    if isinstance(stored.value, Fraction):
        return stored.code
    negative = stored.typed is not None and stored.typed < 0
    if stored.typed is None or (negative and not stored.fmt.signed):
        return 0
    return stored.fmt.max_code | (stored.fmt.sign_bit if negative else 0)


def _candidates(typed: Fraction, numbers, ulp: Fraction) -> tuple[tuple[str, int, float], ...]:
    if any(value == typed for _, value in numbers):
        return ()
    below = [i for i, (_, value) in enumerate(numbers) if value < typed][-1:]
    above = [i for i, (_, value) in enumerate(numbers) if value > typed][:1]
    found = [("below", i) for i in below] + [("above", i) for i in above]
    return tuple((name, i, float(abs(numbers[i][1] - typed) / ulp)) for name, i in found)


def number_line_figure(stored: Stored, *, num_each_side: int = 6, with_bits: bool = True) -> go.Figure:
    """The numbers of the format around what was typed, the candidates of rounding, and the bits of the result.

    Parameters
    ----------
    stored : labkit.floating_point.ulp.Stored
        From :func:`labkit.floating_point.ulp.store`.
    num_each_side : int
    with_bits : bool
        Whether the bits are drawn above the line.
    """
    line = number_line(stored, num_each_side=num_each_side)
    figure = go.Figure(layout=base_layout(_title(stored), 380 if with_bits else 270))
    _draw_spacing(figure, line)
    _draw_numbers(figure, line, stored)
    _draw_typed(figure, line, stored)
    low, high = line.positions[0], line.positions[-1]
    margin = max(0.06 * (high - low), 1.2 if line.typed_at is not None and not low <= line.typed_at <= high else 0)
    figure.update_layout(
        margin={"l": 30, "r": 30, "t": 80, "b": 30},
        xaxis={"range": [low - margin, high + margin], "visible": False, "fixedrange": True},
        yaxis={"range": [-1.15, 1.35], "domain": [0, 0.6 if with_bits else 1], "visible": False, "fixedrange": True},
    )
    if not with_bits:
        return figure
    draw_bits(figure, stored.code, stored.fmt)
    figure.update_layout(
        xaxis2={
            "range": [-0.6, stored.fmt.num_bits - 0.4], "visible": False, "anchor": "y2", "fixedrange": True,
        },
        yaxis2={"range": [-1.5, 1.2], "domain": [0.66, 1], "visible": False, "anchor": "x2", "fixedrange": True},
    )
    return figure


def _title(stored: Stored) -> str:
    digits = stored.decimal if len(stored.decimal) <= 28 else f"{stored.decimal[:25]}..."
    title = f"{_short(stored.text)} in {stored.fmt.name} is {digits}"
    if stored.error_ulp is not None:
        title += ", exactly" if stored.error_ulp == 0 else f": an error of {float(stored.error_ulp):+.3g} ulp"
    return title


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."


def _draw_spacing(figure: go.Figure, line: NumberLine) -> None:
    """The axis, and above each run of equal gaps how wide they are."""
    xs = line.positions
    figure.add_shape(type="line", x0=xs[0], x1=xs[-1], y0=0, y1=0, line={"color": INK, "width": 1.5}, layer="below")
    gaps = np.diff(xs)
    start = 0
    for i in range(1, len(gaps) + 1):
        if i == len(gaps) or gaps[i] != gaps[start]:
            gap = Fraction(gaps[start]) * line.unit
            figure.add_shape(
                type="line", x0=xs[start], x1=xs[i], y0=1.0, y1=1.0, line={"color": INK, "width": 1, "dash": "dot"},
            )
            for x in (xs[start], xs[i]):
                figure.add_shape(type="line", x0=x, x1=x, y0=0.93, y1=1.07, line={"color": INK, "width": 1})
            figure.add_annotation(
                x=(xs[start] + xs[i]) / 2, y=1.0, yshift=10, text=f"spacing {_power_text(gap)}", showarrow=False,
                font={"color": INK, "size": 11},
            )
            start = i


def _power_text(value: Fraction) -> str:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return f"2<sup>{exponent}</sup>" if value == Fraction(2) ** exponent else f"{float(value):.6g}"


def _draw_numbers(figure: go.Figure, line: NumberLine, stored: Stored) -> None:
    fmt = stored.fmt
    chosen = [code == stored.code for code, _ in line.numbers]
    figure.add_trace(
        go.Scatter(
            name=f"numbers of {fmt.name}", x=line.positions, y=[0] * len(line.positions), mode="markers",
            marker={
                "symbol": "line-ns", "size": [22 if yes else 14 for yes in chosen],
                "line": {"width": [4 if yes else 2 for yes in chosen], "color": SERIES[0]},
            },
            hovertext=[
                f"{float(value):.17g}<br>{code:0{fmt.num_bits}b}<br>{value}" for code, value in line.numbers
            ],
            hoverinfo="text",
        )
    )
    every = max(1, math.ceil(len(line.numbers) / 7))
    middle = line.positions.index(0.0)
    figure.add_trace(
        go.Scatter(
            x=[x for i, x in enumerate(line.positions) if (i - middle) % every == 0],
            y=[-0.18] * sum((i - middle) % every == 0 for i in range(len(line.numbers))), mode="text",
            text=[f"{_label(v, line)}" for i, (_, v) in enumerate(line.numbers) if (i - middle) % every == 0],
            textposition="bottom center", textfont={"size": 11, "color": INK}, showlegend=False, hoverinfo="skip",
        )
    )


def _label(value: Fraction, line: NumberLine) -> str:
    """The number, where it is short or a few digits tell neighbours apart; else steps from the middle."""
    exact = exact_decimal(value)
    if len(exact) <= LONGEST_LABEL:
        return exact
    largest = max(abs(v) for _, v in line.numbers)
    digits = math.ceil(math.log10(largest / line.unit)) + 1
    if digits <= LONGEST_LABEL - 3:
        return f"{float(value):.{max(digits, 3)}g}"
    steps = (value - line.origin) / line.unit
    return f"{int(steps):+d} x {_power_text(line.unit)}" if steps else f"{float(value):.17g}"


def _draw_typed(figure: go.Figure, line: NumberLine, stored: Stored) -> None:
    if line.typed_at is None:
        return
    figure.add_trace(
        go.Scatter(
            name="typed", x=[line.typed_at], y=[0.42], mode="markers",
            marker={"symbol": "triangle-down", "size": 13, "color": ACCENT},
            hovertext=[f"typed: {_short(stored.text)}"], hoverinfo="text",
        )
    )
    figure.add_shape(
        type="line", x0=line.typed_at, x1=line.typed_at, y0=0, y1=0.38, line={"color": ACCENT, "width": 1.5},
    )
    low, high = line.positions[0], line.positions[-1]
    for name, i, distance in line.candidates:
        x = line.positions[i]
        at_edge = x < low + 0.25 * (high - low) if name == "below" else x > low + 0.75 * (high - low)
        taken = line.numbers[i][0] == stored.code
        text = f"{name}: {distance:.3g} ulp"
        figure.add_shape(
            type="line", x0=line.typed_at, x1=x, y0=0.38, y1=0.06,
            line={"color": ACCENT, "width": 2.5 if taken else 1, "dash": "solid" if taken else "dot"},
        )
        figure.add_annotation(
            x=x, y=-0.95 if at_edge else -0.62, text=f"<b>{text}, taken</b>" if taken else text, showarrow=False,
            font={"color": ACCENT, "size": 11},
            xanchor="right" if (name == "below") != at_edge else "left",  # towards the middle from the edges
        )
