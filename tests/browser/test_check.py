"""A student checks answers: one that passes, one that deadlocks; verdict, hints and timeline are on the page."""

import shutil
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from labkit.grading.exercise import exercises_folder
from labkit.grading.notebooks import notebook_text, topic_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

NAME = "point_to_point/ring_pass"
FOLDER = exercises_folder() / NAME
FORGETFUL = (FOLDER / "wrong" / "forgets_last_rank.py").read_text()

SLOW = (FOLDER / "reference.py").read_text().replace(
    "    token = own.copy()\n", "    while comm.size == 2:\n        pass\n    token = own.copy()\n"
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The file of progress; asked for before ``lab``, whose server inherits its name."""
    path = tmp_path / "kept" / "progress.json"
    monkeypatch.setenv("LABKIT_PROGRESS", str(path))
    shutil.copytree(exercises_folder() / "point_to_point", tmp_path / "exercises" / "point_to_point")
    with open(tmp_path / "exercises" / NAME / "exercise.py", "a") as file:  # the Stop button comes before the limit
        file.write("\nimport dataclasses\nexercise = dataclasses.replace(exercise, time_limit_s=200)\n")
    monkeypatch.setenv("LABKIT_EXERCISES", str(tmp_path / "exercises"))
    return path


def cell_after(page, text):
    """The code cell whose source begins with ``text``."""
    return page.page.locator(".jp-CodeCell").filter(has=page.page.locator(".cm-content", has_text=text)).first


def write_and_run(page, text, source):
    """Replace the source of the cell that begins with ``text``, and run it and the next one."""
    cell = cell_after(page, text)
    cell.locator(".cm-content").click()
    page.page.keyboard.press("Control+A")
    page.page.keyboard.insert_text(source)
    page.page.keyboard.press("Shift+Enter")
    page.page.keyboard.press("Shift+Enter")


def cut_off(page):
    """Texts in the widgets that are wider than what shows them and cannot be scrolled to."""
    return page.page.evaluate(
        "() => [...document.querySelectorAll('.labkit-study *')].filter(e => !e.closest('.figure') && e.clientWidth"
        " && e.scrollWidth > e.clientWidth + 1 && !['auto', 'scroll'].includes(getComputedStyle(e).overflowX))"
        ".map(e => e.outerHTML.slice(0, 200))"
    )


def test_an_answer_that_passes_and_one_that_deadlocks(kept, lab, tmp_path):
    built = notebook_text(topic_notebook("point_to_point"))
    assert nbformat.reads(built, 4).cells[1].source == "from labkit import check"
    page = lab(Path("point_to_point.ipynb"), built)
    cell_after(page, "from labkit import check").locator(".cm-content").click()
    page.page.keyboard.press("Shift+Enter")
    study = page.page.locator(".labkit-study")

    write_and_run(page, "def ring_pass", (FOLDER / "reference.py").read_text())
    study.locator(".badge.right", has_text="passed").wait_for()
    study.get_by_text("3 of 3 points").wait_for()
    page.page.wait_for_timeout(500)
    expect(study).to_have_count(1)  # though the call is the last line of its cell
    expect(study.locator(".hint-button, .timeline-button")).to_have_count(0)
    study.screenshot(path=str(tmp_path / "passed.png"))

    write_and_run(page, "def ring_pass", FORGETFUL)
    study.locator(".badge.wrong", has_text="deadlocked").wait_for()
    study.get_by_text("rank 0 waits in Recv").wait_for()
    figure = study.locator(".figure .js-plotly-plot")
    figure.wait_for()
    page.page.wait_for_function("() => document.querySelector('.labkit-study .js-plotly-plot').clientWidth > 500")
    expect(study).to_have_count(1)
    study.screenshot(path=str(tmp_path / "deadlocked.png"))

    for number in (1, 2, 3):
        study.get_by_role("button", name=f"Hint {number} of 3").click()
        study.locator(".hint", has_text=f"Hint {number} of 3").wait_for()
    expect(study.locator(".hint-button")).to_have_count(0)
    expect(figure).to_have_count(1)  # it has outlived the drawing of the hints
    study.screenshot(path=str(tmp_path / "hints.png"))
    study.get_by_role("button", name="Hide the timeline").click()
    figure.wait_for(state="detached")
    study.get_by_role("button", name="Timeline of this case").click()
    figure.wait_for()

    # A slow answer: how far it is, and the Stop button.
    write_and_run(page, "def ring_pass", SLOW)
    study.locator(".badge", has_text="checking").wait_for()
    study.locator(".running", has_text="Case 3 of 21").wait_for()
    study.screenshot(path=str(tmp_path / "running.png"))
    page.page.get_by_role("button", name="Interrupt the kernel").click()
    study.locator(".badge", has_text="not checked").wait_for()
    study.locator(".problem", has_text="It was stopped after 2 of 21 cases.").wait_for()
    page.page.locator(".jp-OutputArea-output", has_text="its processes have been ended").wait_for()
    page.page.screenshot(path=str(tmp_path / "stopped.png"))

    # Values, in the dark.
    page.page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.page.locator(".lm-Menu-itemLabel", has_text="Theme").first.hover()
    page.page.locator(".lm-Menu-itemLabel", has_text="JupyterLab Dark").first.click()
    write_and_run(page, "def ring_pass", (FOLDER / "wrong" / "sends_own_vector.py").read_text())
    study.locator(".badge.wrong", has_text="incorrect").wait_for()
    expect(study.locator(".values code")).to_have_count(2)
    expected, actual = study.locator(".values code").all()
    assert expected.bounding_box()["x"] == actual.bounding_box()["x"]
    expect(study.locator(".hint")).to_have_count(3)  # those that were asked for before
    study.screenshot(path=str(tmp_path / "incorrect.png"))

    assert cut_off(page) == []
    assert page.page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
