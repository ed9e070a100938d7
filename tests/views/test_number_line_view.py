"""The number line: neighbours in their order, candidates of rounding, bits by field."""

from fractions import Fraction

import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import decode, decode_exact
from labkit.floating_point.formats import PRESETS, Format, find_format
from labkit.floating_point.ulp import store
from labkit.views.bit_fields import FIELD_COLOURS, bit_fields
from labkit.views.number_line import number_line, number_line_figure

TEXTS = ("0.1", "-5.1", "0", "-0", "1", "1e9", "-1e9", "1e-50", "1/3", "inf", "-inf", "nan", "2")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("text", TEXTS)
def test_numbers_stand_in_order_at_true_distances(name, text):
    if text == "nan" and PRESETS[name].nan == "none":
        with pytest.raises(UsageError, match="no code for NaN"):
            store(text, name)
        return
    stored = store(text, name)
    line = number_line(stored)
    values = [value for _, value in line.numbers]
    assert values == sorted(set(values)) and 7 <= len(values) <= 13
    assert [decode_exact(code, name) for code, _ in line.numbers] == values
    for x, value in zip(line.positions, values, strict=True):
        assert Fraction(x) * line.unit + line.origin == value
    assert min(b - a for a, b in zip(line.positions, line.positions[1:], strict=False)) == 1
    if isinstance(stored.value, Fraction):
        assert stored.value in values and Fraction(line.stored_at) * line.unit + line.origin == stored.value
    if text in ("nan", "inf", "-0"):
        assert len(number_line_figure(stored).data) >= 4


@pytest.mark.parametrize("name", ["binary16", "E4M3", "E2M1", "TF32", "binary64"])
@pytest.mark.parametrize("text", ["0.1", "-5.1", "1/3", "1.03"])
def test_candidates_are_the_two_neighbours_of_the_typed_number(name, text):
    stored = store(text, name)
    line, typed = number_line(stored), Fraction(text)
    (below, i, low), (above, j, high) = line.candidates
    assert (below, above, j) == ("below", "above", i + 1)
    assert line.numbers[i][1] < typed < line.numbers[j][1]
    assert low + high == pytest.approx(1) and min(low, high) == pytest.approx(abs(float(stored.error_ulp)))
    assert line.positions[i] < line.typed_at < line.positions[j]


def test_a_number_of_the_format_has_no_candidates():
    assert number_line(store("1.5", "E2M1")).candidates == ()


def test_beyond_the_largest_number_only_the_one_below_is_left():
    line = number_line(store("1e9", "E4M3"))
    assert [name for name, *_ in line.candidates] == ["below"]
    assert line.numbers[-1][1] == 448 and line.positions[-1] < line.typed_at <= line.positions[-1] + 4


@pytest.mark.parametrize("code", [0b0_00000_0000000001, 0b1_01110_0100000000, 0b0_11110_1111111111])
def test_weights_of_bits_add_up_to_the_value(code):
    fmt = find_format("binary16")
    bits = bit_fields(code, fmt)
    assert [bit.field for bit in bits] == ["sign"] + ["exponent"] * 5 + ["significand"] * 10
    assert int("".join(str(bit.value) for bit in bits), 2) == code
    biased = sum(int(bit.weight.split()[0]) for bit in bits if bit.field == "exponent" and bit.value)
    hidden = 2.0 ** (biased - 15) if biased else 0
    magnitude = hidden + sum(2.0 ** int(bit.weight.removeprefix("2^")) for bit in bits if bit.field == "significand" and bit.value)
    assert (-magnitude if bits[0].value else magnitude) == decode(code, fmt)


def test_the_picture_names_what_it_shows():
    figure = number_line_figure(store("0.1", "binary16"))
    texts = [note.text for note in figure.layout.annotations]
    assert figure.layout.title.text == "0.1 in binary16 is 0.0999755859375: an error of -0.4 ulp"
    assert {"sign", "exponent", "significand", "spacing 2<sup>-14</sup>", "<b>below: 0.4 ulp, taken</b>", "above: 0.6 ulp"} <= set(texts)
    filled = [shape.fillcolor for shape in figure.layout.shapes if shape.type == "rect"]
    assert [colour in FIELD_COLOURS.values() for colour in filled] == [digit == "1" for digit in f"{0x2E66:016b}"]


def test_a_format_without_sign_or_trailing_bits():
    powers = Format("powers", 4, 0, infinities=False, signed=False)
    assert {bit.field for bit in bit_fields(5, powers)} == {"exponent"}
    assert number_line(store("-3", powers)).numbers[0] == (0, 0)
    number_line_figure(store("-3", powers))
    number_line_figure(store("3", powers))


@pytest.mark.parametrize("number", [0, 41, 2.5, True, "6"])
def test_a_number_of_neighbours_that_makes_no_sense(number):
    with pytest.raises(UsageError, match="num_each_side is a whole number from 1 to 40"):
        number_line(store("0.1", "E4M3"), num_each_side=number)


def test_without_its_bits_the_line_is_the_same():
    stored = store("0.1", "binary16")
    whole, line = number_line_figure(stored), number_line_figure(stored, with_bits=False)
    assert [trace.name for trace in line.data] == [trace.name for trace in whole.data if trace.xaxis != "x2"]
    assert line.layout.title.text == whole.layout.title.text and line.layout.xaxis.range == whole.layout.xaxis.range
    assert not [note for note in line.layout.annotations if note.xref == "x2"]
    assert len(whole.layout.shapes) == len(line.layout.shapes) + 16 and line.layout.yaxis.domain == (0, 1)
