"""The explorer of accidents in real Lab: a slider moved by the keyboard changes sentence and figure."""

from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
CELLS = (
    "from labkit.widgets.accidents import AccidentExplorer\nAccidentExplorer('patriot')",
    "AccidentExplorer('differentiation')",
)


def test_sliders_change_sentence_and_figure(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("accidents.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)
    patriot, derivative = (page.page.locator(".jp-CodeCell").nth(i) for i in range(2))
    patriot.locator(".gtitle", has_text="After 100 h: 0.3433 s lost, the gate is 687 m off").wait_for()
    patriot.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowRight")
    patriot.locator(".gtitle", has_text="After 101 h: 0.3468 s lost").wait_for()
    patriot.get_by_text("of 363600 s").wait_for()
    derivative.locator(".gtitle", has_text="A derivative in binary64").wait_for()
    derivative.locator("select").nth(1).select_option("binary32")
    derivative.locator(".gtitle", has_text="A derivative in binary32").wait_for()
    page.page.screenshot(path=str(tmp_path / "accidents.png"))
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
