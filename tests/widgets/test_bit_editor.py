"""The bit editor without a page: entries, bits, formats, what is said of them, and what is refused."""

import math
from fractions import Fraction

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.formats import PRESETS, Format
from labkit.widgets.bit_editor import CUSTOM, ROUNDINGS, BitEditor


def said(editor):
    return dict(editor.panel.state["readings"])


def bits(editor):
    return "".join(str(bit["value"]) for bit in editor.panel.state["bits"])


@pytest.mark.parametrize("name", PRESETS)
def test_clicking_every_bit_of_every_format(name):
    editor = BitEditor("0", name)
    width = editor.fmt.num_bits
    for place in range(width):
        editor.toggle(place)
        assert editor.code == 1 << (width - 1 - place) and bits(editor) == f"{editor.code:0{width}b}"
        assert said(editor)["exact value"] and len(editor.line.data) >= 2
        editor.panel._handle_custom_msg({"do": "bit", "place": place}, [])  # as the page does
        assert editor.code == 0
    assert editor.message == ""


def test_a_typed_number_and_its_error():
    editor = BitEditor("0.1", "binary32")
    words = said(editor)
    assert words["exact value"] == "0.100000001490116119384765625" and words["as a fraction"] == "13421773/134217728"
    assert Fraction(words["as a fraction"]) == Fraction(float(np.float32(0.1)))
    assert words["next above"] == "0.10000000894069671630859375" and words["spacing here"].startswith("1/134217728")
    assert words["error"].startswith("+1.49012e-09, which is +0.2 ulp")
    assert editor.line.layout.title.text.startswith("0.1 in binary32 is")
    editor.toggle(31)  # clicked, not typed: without an error
    assert said(editor)["error"] == "none: the number is one of the format" and "typed" not in said(editor)
    assert editor.panel.state["number"] == "0.0999999940395355224609375"
    assert editor.line.layout.title.text == "0.0999999940395355224... in binary32 is 0.0999999940395355224609375, exactly"


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("0x3C00", 0x3C00, "normal"), ("0b0_00000_0000000001", 1, "subnormal"), ("inf", 0x7C00, "infinity"),
        ("-inf", 0xFC00, "-infinity"), ("nan", 0x7E00, "NaN"), ("-0", 0x8000, "zero"), ("1e9", 0x7C00, "infinity"),
        ("1/3", 0x3555, "normal"), ("0." + "3" * 1000, 0x3555, "normal"), ("3e-8", 1, "subnormal"), ("0x7c01", 0x7C01, "NaN"),
        ("2e-8", 0, "zero"), ("1e-4000", 0, "zero"), (" 65504 ", 0x7BFF, "normal"),
    ],
)  # fmt: skip
def test_entries(text, code, kind):
    editor = BitEditor()
    editor.enter(text)
    assert (editor.code, said(editor)["this is"], editor.message) == (code, kind, "")
    assert editor.panel.state["code"] == f"0x{code:04x}" and bits(editor) == f"{code:016b}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a tenth", "is no number: type a decimal"), ("", "is no number"), ("1e", "is no number"), ("1/0", "is no number"),
        ("0x1FFFF", "binary16 has 16 bits, but 0x1FFFF has 17"), ("0xZZ", "is no code: type 0x"), ("0b12", "is no code"),
        ("0x", "is no code"), ("7" * 3000, "at most 2000 characters, not 3000"), ("1e99999", "power of ten up to 5000"),
        ("<b>1</b>", "is no number"), ("0b_", "is no code"), ("\u0661\u0662 apples", "is no number"),
    ],
)  # fmt: skip
def test_garbage_gives_a_message_and_keeps_the_value(text, words):
    editor = BitEditor("1.5")
    before = editor.line.layout.title.text, bits(editor), said(editor)
    editor.enter(text)
    assert words in editor.message == editor.panel.state["message"] and editor.panel.state["wrong"] == "number"
    assert (editor.line.layout.title.text, bits(editor), said(editor)) == before
    editor.enter("2.5")
    assert editor.message == "" and said(editor)["exact value"] == "2.5"


def test_the_field_for_codes():
    editor = BitEditor()
    editor.enter_code("7bff")
    assert said(editor)["exact value"] == "65504"
    editor.enter_code("0b1")
    assert editor.code == 1
    editor.enter_code("12345")
    assert "17" in editor.message and editor.code == 1 and editor.panel.state["wrong"] == "code"


def test_steps_go_through_all_numbers_in_order():
    editor = BitEditor("-28", Format("E3M2", 3, 2, infinities=False, nan="none"))
    seen = [Fraction(said(editor)["as a fraction"])]
    while editor.panel.state["canStep"][1]:
        editor.step(1)
        seen.append(Fraction(said(editor)["as a fraction"]))
        assert len(seen) < 100
    assert seen == sorted(seen) and len(set(seen)) == editor.fmt.num_values and seen[-1] == 28
    editor.step(1)
    assert editor.reading.value == 28
    editor.step(-1)
    assert editor.reading.value == 24


def test_another_format_takes_what_was_typed_anew():
    editor = BitEditor("0.1", "E5M2")
    for name in PRESETS:
        editor.format.value = name
        assert editor.code == BitEditor("0.1", name).code and editor.panel.state["number"] == "0.1"
        assert len(bits(editor)) == PRESETS[name].num_bits
    editor.format.value = "binary16"
    for text in ("-0", "inf", "-inf", "nan", "0x0001"):
        editor.enter(text)
        editor.format.value = "binary64"
        kept = editor.reading.value
        editor.format.value = "binary16"
        editor.enter(text)
        assert kept == editor.reading.value or math.isnan(kept)
    editor.enter("nan")
    editor.format.value = "E2M1"
    assert "no code for NaN" in editor.message and editor.message.endswith("Shown is 0.") and editor.code == 0


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding(rounding):
    editor = BitEditor("0.1", "E4M3")
    editor.rounding.value = rounding
    expected = {"up": Fraction(13, 128), "ties_to_even": Fraction(13, 128), "ties_away": Fraction(13, 128)}
    assert editor.reading.value == expected.get(rounding, Fraction(12, 128))


def test_custom_formats():
    editor = BitEditor("0.1", "E4M3")
    assert editor._custom.layout.display == "none"
    editor.format.value = CUSTOM
    assert editor._custom.layout.display is None and editor.fmt.name == "E4M3"
    editor.exponent_bits.value, editor.significand_bits.value, editor.infinities.value = 5, 6, True
    assert editor.fmt.name == "E5M6"
    assert (editor.fmt.num_bits, editor.fmt.bias, editor.fmt.infinities, len(bits(editor))) == (12, 15, True, 12)
    editor.bias.value = "3"
    assert editor.fmt.bias == 3 and editor.reading.value == BitEditor("0.1", Format("a", 5, 6, 3)).reading.value
    for wrong, words in (("x", "bias is a whole number or empty"), ("-5000", "bias is a whole number from")):
        editor.bias.value = wrong
        assert words in editor.message and editor.fmt.bias == 3
    editor.bias.value = ""
    assert editor.message == "" and editor.fmt.bias == 15
    editor.significand_bits.value = 0  # infinity needs a trailing bit
    assert "differ in the trailing significand" in editor.message and editor.fmt.significand_bits == 6
    editor.format.value = "binary64"
    editor.format.value = CUSTOM  # begins with the one before
    assert (editor.exponent_bits.value, editor.significand_bits.value, editor.fmt.bias) == (11, 52, 1023)
    assert editor.reading.decimal == BitEditor("0.1", "binary64").reading.decimal and editor.message == ""
    own = Format("mine", 4, 3, 8, infinities=False, nan="minus_zero")
    assert BitEditor("1", own).fmt == own


def test_a_page_that_sends_nonsense_changes_nothing():
    editor = BitEditor("1.5")
    before = editor.panel.state
    for message in (None, [], {}, {"do": "bit"}, {"do": "bit", "place": 99}, {"do": "bit", "place": "1"}, {"do": "step", "by": 5}, {"do": "number"}, {"do": "number", "text": 3}, {"do": "code", "text": None}, {"do": "explode"}):
        editor._on_message(editor.panel, message, [])
    assert editor.panel.state == before
    editor._on_message(editor.panel, {"do": "bit", "place": 0, "value": 0}, [])  # the bit is 0 already
    assert editor.panel.state == before
    editor._on_message(editor.panel, {"do": "bit", "place": 0, "value": 1}, [])
    assert editor.reading.value == Fraction(-3, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BitEditor("one"), "is no number"), (lambda: BitEditor("1", "binary17"), "no format is called"),
        (lambda: BitEditor("1", rounding="odd"), "rounding is one of"), (lambda: BitEditor("1").toggle(16), "bits 0 to 15"),
        (lambda: BitEditor("nan", "E2M1"), "no code for NaN"),
    ],
)  # fmt: skip
def test_bad_input(call, words):
    with pytest.raises(UsageError, match=words):
        call()
