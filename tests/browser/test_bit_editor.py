"""The bit editor in real Lab: clicked, typed, driven by the keyboard alone; another format; garbage."""

import re
from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
CELL = "from labkit.widgets.bit_editor import BitEditor\nBitEditor('0.1', 'binary16')"


def test_bits_are_clicked_typed_and_stepped(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("bits.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)
    cell, keys = page.page.locator(".jp-CodeCell").first, page.page.keyboard
    number, code = cell.locator("input.number"), cell.locator("input.code")

    def shows(label, text):
        cell.locator(f"[data-reading='{label}']", has_text=re.compile(f"^{re.escape(text)}")).first.wait_for()

    def draws(words):
        cell.locator(".gtitle", has_text=words).wait_for()

    def bits():
        return "".join(cell.locator(".bit").all_text_contents())

    def enter(field, text):
        field.fill(text)
        field.press("Enter")

    shows("exact value", "0.0999755859375")
    assert bits() == f"{0x2E66:016b}" and number.input_value() == "0.1" and code.input_value() == "0x2e66"
    draws("an error of -0.4 ulp")
    page.page.screenshot(path=str(tmp_path / "binary16.png"))

    cell.locator(".bit").first.click()
    shows("exact value", "-0.0999755859375")
    draws("-0.0999755859375 in binary16")
    keys.press("ArrowRight")  # the keyboard alone: set the next bit, which moves on; then switch the one after
    keys.press("1")
    shows("exact value", "-6552")
    keys.press("Space")
    shows("exact value", "-25.59375")
    assert page.page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("bit 3 of 16, exponent")
    assert page.page.locator(".jp-Cell").count() == 1  # none of Lab's own shortcuts was hit
    keys.press("Home")
    keys.press("0")
    shows("exact value", "25.59375")

    for text, label, expected, drawn in (
        ("-0", "exact value", "-0", "-0 in binary16 is -0"), ("inf", "this is", "infinity", "inf in binary16"),
        ("nan", "this is", "NaN", "nan in binary16"), ("0x0001", "this is", "subnormal", "0.0000000596046447753"),
        ("0." + "3" * 1000, "exact value", "0.333251953125", "0.3333333333333333333"),
        ("1e9", "error", "beyond the largest number", "1e9 in binary16 is inf"),
    ):  # fmt: skip
        enter(number, text)
        shows(label, expected)
        draws(drawn)
        assert cell.locator(".message").inner_text() == ""
    enter(code, "3c00")
    shows("exact value", "1")
    cell.get_by_role("button", name="Next above").click()
    shows("exact value", "1.0009765625")
    draws("1.0009765625 in binary16")

    before = bits()
    for text, words in (("a <b>tenth</b>", "is no number"), ("9" * 3000, "at most 2000 characters"), ("0xFFFFF", "has 16 bits, but")):
        enter(number, text)
        cell.locator(".message", has_text=words).wait_for()
        assert bits() == before and number.input_value() == text and number.get_attribute("aria-invalid") == "true"
        shows("exact value", "1.0009765625")
    page.page.screenshot(path=str(tmp_path / "garbage.png"))
    enter(number, "0.1")
    shows("exact value", "0.0999755859375")
    assert cell.locator(".message").inner_text() == "" and number.get_attribute("aria-invalid") == "false"

    cell.locator("select").first.select_option("binary64")
    shows("exact value", "0.1000000000000000055511151231257827")
    assert len(bits()) == 64
    draws("0.1 in binary64 is")
    page.page.screenshot(path=str(tmp_path / "binary64.png"))
    cell.locator("select").first.select_option("custom")
    cell.locator("[data-reading='format']", has_text="E11M52: 1 + 11 + 52").wait_for()
    wide = cell.get_by_label("exponent bits")
    wide.fill("5")
    wide.press("Enter")
    narrow = cell.get_by_label("significand bits")
    narrow.fill("3")
    narrow.press("Enter")
    shows("format", "E5M3: 1 + 5 + 3 bits, bias 15")
    assert len(bits()) == 9
    shows("exact value", "0.1015625")
    draws("0.1 in E5M3 is 0.1015625")
    assert cell.locator(".spoken").inner_text() == "0.1015625"
    page.page.screenshot(path=str(tmp_path / "custom.png"))
    assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
