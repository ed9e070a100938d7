"""``%%mpi --trace --live`` in real Lab: bars are on the page before the cell has ended."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]

RING = "comm.sendrecv(comm.rank, (comm.rank + 1) % 3, 0, None, (comm.rank - 1) % 3)\n"
CELLS = (
    "%load_ext labkit",
    f"%%mpi -n 3 --trace --live --timeout 150\nimport os, time\nfor go in ('go1', 'go2'):\n    {RING}"
    "    comm.Barrier()\n    while not os.path.exists(go):\n        time.sleep(0.02)\n",
    "print('after')",
)


def test_bars_appear_while_the_cell_runs(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("live.ipynb"), nbformat.writes(notebook))
    page.page.get_by_role("menuitem", name="Run", exact=True).click()
    page.page.get_by_text("Run All Cells", exact=True).click()
    cell = page.page.locator(".jp-CodeCell").nth(1)
    prompt = cell.locator(".jp-InputPrompt").first

    def wait_for_title(words):
        cell.locator(".gtitle", has_text=words).first.wait_for()

    # The cell cannot end before the files are there. This page has just loaded plotly's JavaScript, and what
    # was drawn meanwhile is there too.
    wait_for_title("3 messages")
    bars = cell.locator(".js-plotly-plot .barlayer .point")
    assert prompt.text_content() == "[*]:"
    bars.nth(5).wait_for(state="attached")  # sendrecv's parts and the barrier of each rank
    first = bars.count()
    page.page.screenshot(path=str(tmp_path / "live1.png"))
    (tmp_path / "go1").touch()
    wait_for_title("6 messages")
    bars.nth(first).wait_for(state="attached")
    assert prompt.text_content() == "[*]:"
    page.page.screenshot(path=str(tmp_path / "live2.png"))
    (tmp_path / "go2").touch()
    page.page.wait_for_function(
        "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].every(p => /^\\[\\d+\\]/.test(p.textContent))",
    )
    expect(cell.locator(".js-plotly-plot")).to_have_count(2)  # the one that has grown, and the picture of every --trace
    page.page.screenshot(path=str(tmp_path / "live3.png"), full_page=True)

    # It plays now.
    cell.scroll_into_view_if_needed()
    cell.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("Home")
    wait_for_title("At 0 ns")
    assert page.foreign_requests == []
    assert page.errors == []
