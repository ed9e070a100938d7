"""The bits of a code, by field: what each is worth, and boxes in the colours of the fields."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from labkit.floating_point.formats import Format
from labkit.views.theme import GRID, INK

FIELD_COLOURS = {"sign": "#d55e00", "exponent": "#0072b2", "significand": "#009e73"}


@dataclass(frozen=True, slots=True)
class Bit:
    """One bit of a code: its place from the left, its value, the field it belongs to and its weight in words."""

    place: int
    value: int
    field: str
    weight: str


def bit_fields(code: int, fmt: Format) -> tuple[Bit, ...]:
    """The bits of a code from the left.

    Examples
    --------
    >>> from labkit.floating_point.formats import find_format
    >>> [(bit.value, bit.field) for bit in bit_fields(0b0101, find_format("E2M1"))]
    [(0, 'sign'), (1, 'exponent'), (0, 'exponent'), (1, 'significand')]
    """
    text = f"{code:0{fmt.num_bits}b}"
    subnormal = (code & ~fmt.sign_bit) >> fmt.significand_bits == 0
    exponent = fmt.min_exponent if subnormal else ((code & ~fmt.sign_bit) >> fmt.significand_bits) - fmt.bias
    bits = []
    for place, digit in enumerate(text):
        below = fmt.num_bits - 1 - place
        if fmt.signed and place == 0:
            bits.append(Bit(place, int(digit), "sign", "minus" if digit == "1" else "plus"))
        elif below >= fmt.significand_bits:
            weight = f"{2 ** (below - fmt.significand_bits)} of the biased exponent"
            bits.append(Bit(place, int(digit), "exponent", weight))
        else:
            bits.append(Bit(place, int(digit), "significand", f"2^{exponent - fmt.significand_bits + below}"))
    return tuple(bits)


def draw_bits(figure: go.Figure, code: int, fmt: Format) -> None:
    """Add a box for each bit, in the colour of its field, on the axes x2 and y2 of a figure."""
    bits = bit_fields(code, fmt)
    for field, colour in FIELD_COLOURS.items():
        of_field = [bit for bit in bits if bit.field == field]
        if not of_field:
            continue
        for bit in of_field:
            figure.add_shape(
                type="rect", x0=bit.place - 0.44, x1=bit.place + 0.44, y0=-0.55, y1=0.75, xref="x2", yref="y2",
                line={"color": colour, "width": 1.5}, fillcolor=colour if bit.value else GRID,
                opacity=1 if bit.value else 0.6, layer="below",
            )
        figure.add_trace(
            go.Scatter(
                x=[bit.place for bit in of_field], y=[0.1] * len(of_field), xaxis="x2", yaxis="y2", mode="text",
                text=[str(bit.value) for bit in of_field], hovertext=[bit.weight for bit in of_field],
                hoverinfo="text", showlegend=False,
                textfont={
                    "size": 15 if len(bits) <= 32 else 9,
                    "color": ["#ffffff" if bit.value else INK for bit in of_field],
                },
            )
        )
        figure.add_annotation(
            x=(of_field[0].place + of_field[-1].place) / 2, y=-1.05, xref="x2", yref="y2", text=field, showarrow=False,
            font={"color": colour, "size": 12},
        )
