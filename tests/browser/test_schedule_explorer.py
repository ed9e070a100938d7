"""The explorer of loop schedules in real Lab: its controls change both pictures and the numbers."""

from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
CELL = (
    "from labkit.widgets.schedule_explorer import ScheduleExplorer\n"
    "ScheduleExplorer('static', 4, num_iterations=256, profile='linear')"
)


def test_controls_change_map_gantt_and_numbers(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("schedules.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)
    cell = page.page.locator(".jp-CodeCell").first

    def wait_for_title(words):
        cell.locator(".gtitle", has_text=words).first.wait_for()

    wait_for_title("static: 256 iterations in 4 chunks on 4 threads")
    wait_for_title("load imbalance 75 %")
    page.page.screenshot(path=str(tmp_path / "static.png"))
    cell.locator("select").first.select_option("dynamic")
    wait_for_title("dynamic: 256 iterations in 256 chunks on 4 threads")
    wait_for_title("load imbalance 1 %")
    cell.locator(".noUi-handle").first.focus()  # chunk size: from the default to 1, then to 2
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    wait_for_title("dynamic,2: 256 iterations in 128 chunks on 4 threads")
    cell.locator("select").nth(2).select_option("16,000")  # too many chunks for bars: another kind of trace
    wait_for_title("dynamic,2: 16,000 iterations in 8,000 chunks on 4 threads")
    cell.locator(".heatmaplayer image").nth(1).wait_for(state="attached")
    cell.get_by_text("8,000 chunks; a thread executes").wait_for()
    page.page.screenshot(path=str(tmp_path / "dynamic.png"))
    assert cell.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
