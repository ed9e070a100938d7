"""Experiments with threads in real Lab: buttons measure, pictures come, and the Stop of the button works."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
CELLS = (
    "from labkit.widgets.race_explorer import RaceExplorer\nRaceExplorer(2)",
    "from labkit.widgets.false_sharing import FalseSharingExplorer\nFalseSharingExplorer(2)",
    "from labkit.widgets.schedule_explorer import ScheduleExplorer\n"
    "ScheduleExplorer('dynamic,4', 2, num_iterations=256)",
)


def test_buttons_measure_and_draw(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("experiments.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)
    race, sharing, schedule = (page.page.locator(".jp-CodeCell").nth(k) for k in range(3))

    def measure(cell, button, title):
        cell.get_by_role("button", name=button).click()
        cell.locator(".gtitle", has_text=title).first.wait_for()
        cell.get_by_role("button", name=button).wait_for()  # and no longer Stop
        cell.scroll_into_view_if_needed()

    measure(race, "Run the race", "on 2 threads")
    race.locator(".gtitle", has_text="what an update costs").wait_for()
    race.get_by_text("reductions were right every time").wait_for()
    page.page.screenshot(path=str(tmp_path / "race.png"))
    measure(sharing, "Measure", "64 bytes")
    page.page.screenshot(path=str(tmp_path / "false_sharing.png"))
    measure(schedule, "Run on real threads", "Measured: ")
    schedule.locator(".gtitle", has_text="64 chunks on 2 threads, measured").wait_for()
    page.page.screenshot(path=str(tmp_path / "schedule.png"))
    # Figures that come later are as wide as those of the beginning.
    page.page.wait_for_function(
        "(cell) => new Set([...cell.querySelectorAll('.main-svg:first-child')]"
        ".map(svg => Math.round(svg.getBoundingClientRect().width))).size === 1", arg=schedule.element_handle(),
    )
    schedule.locator("select").first.select_option("guided")
    schedule.locator(".gtitle", has_text="guided,4: 256 iterations").wait_for()
    expect(schedule.locator(".gtitle", has_text="Measured: ")).to_have_count(0)
    measure(schedule, "Run on real threads", "Measured: ")  # a second time
    page.page.screenshot(path=str(tmp_path / "guided.png"))
    for cell in (race, sharing, schedule):
        assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
