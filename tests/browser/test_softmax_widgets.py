"""Widgets of softmax in real Lab: sliders, menus and steps change figures, buttons measure, nothing leaves the machine."""

from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
CELLS = (
    "from labkit.widgets.softmax import SoftmaxExplorer, FailureExplorer, MergeTreeExplorer\nSoftmaxExplorer()",
    "FailureExplorer()",
    "MergeTreeExplorer()",
    "from labkit.widgets.softmax_ranks import VocabularyExplorer\nVocabularyExplorer(4)",
    "from labkit.widgets.softmax_calibration import CalibrationExplorer, DigitExplorer\nCalibrationExplorer()",
    "DigitExplorer()",
    "from labkit.widgets.softmax_measured import AccuracyExplorer, PassesExplorer\nAccuracyExplorer()",
    # the roofline is given here: to measure it takes ten seconds
    "from types import SimpleNamespace\nfrom labkit.hardware.roofline import Roofline\n"
    "from labkit.widgets import softmax_measured\n"
    "machine = SimpleNamespace(\n    roofline=Roofline(1e11, 2e11, (('DRAM', 1.2e10),)), topology=SimpleNamespace(last_level_cache_bytes=2**25))\n"
    "softmax_measured.this_machine = lambda progress: machine\nPassesExplorer()",
)


def test_controls_change_figures(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("softmax.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=180)

    def cell(k):
        found = page.page.locator(".jp-CodeCell").nth(k)
        found.scroll_into_view_if_needed()
        return found

    def title(k, words):
        cell(k).locator(".gtitle", has_text=words).first.wait_for()

    def photograph(name, k):
        cell(k)
        page.page.wait_for_timeout(500)
        page.page.screenshot(path=str(tmp_path / f"{name}.png"))

    title(0, "at temperature 1: entropy")
    cell(0).locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowLeft")
    title(0, "at temperature 0.841: entropy")
    cell(0).locator("select").first.select_option("cat")
    cell(0).get_by_text("dog has").wait_for()
    cell(0).locator("select").nth(1).select_option("fish")
    title(0, "loss")
    photograph("temperature", 0)

    title(1, "exp(x) / sum(exp(x))")
    photograph("failures", 1)
    cell(1).locator("select").first.select_option("blocked")
    title(1, "Version blocked")

    title(2, "0 of 7 merges done")
    cell(2).get_by_role("button").first.click()  # play
    title(2, "all states are one")
    photograph("merges", 2)
    cell(2).locator("select").nth(1).select_option("one by one")
    title(2, "merged one by one: 0 of 7 merges done")

    title(3, "the logits are spread over the ranks")
    cell(3).locator(".noUi-handle").nth(2).focus()
    for _ in range(3):
        page.page.keyboard.press("ArrowRight")
    title(3, "all-reduce 2 of 3, SUM of sums: 8 messages")
    photograph("ranks", 3)

    title(4, "Temperature 1: ")
    cell(4).get_by_role("button", name="Fitted temperature").click()
    title(4, "Temperature 2.18: ")
    photograph("calibration", 4)
    cell(4).locator("select").last.select_option("0.1")
    cell(4).get_by_text("temperature 0.566").wait_for()

    title(5, "which is wrong: it is a")
    cell(5).locator("select").first.select_option("as they come")
    photograph("digit", 5)

    cell(6).get_by_role("button", name="Measure errors").click()
    title(6, "Error against 50 digits")
    cell(6).get_by_text("Least: ").wait_for()
    photograph("errors", 6)

    cell(7).locator("select").first.select_option("512 x 32768")
    cell(7).get_by_role("button", name="Measure").click()
    title(7, "Passes over memory")
    cell(7).get_by_text("of the speed that memory allows").wait_for()
    photograph("passes", 7)

    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
