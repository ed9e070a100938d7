"""The widgets of collectives in real Lab: they step, play, change their picture, and measure."""

from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]

CELLS = (
    "from labkit.widgets.collectives import CollectiveExplorer\nCollectiveExplorer('allreduce_rabenseifner', 8)",
    "from labkit.widgets.collectives import CollectiveTimes\ntimes = CollectiveTimes(num_ranks=2)\n"
    "times.algorithms.value = ('allreduce_ring', 'allreduce_recursive_doubling', 'allreduce_shared_memory')\n"
    "times.sizes.value = (8, 128)\ntimes",
    "from labkit.comm.simulated.run import simulate\nfrom labkit.mpi.collectives.barrier import barrier_dissemination\n"
    "from labkit.widgets.live_timeline import LiveTimeline\n"
    "live = LiveTimeline(simulate(8, barrier_dissemination, trace=True).timeline)\nlive",
)


def test_widgets_step_play_and_measure(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("collectives.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=120)

    explorer, times, live = (page.page.locator(".jp-CodeCell").nth(k) for k in range(3))

    def wait_for_title(cell, words):
        cell.locator(".gtitle", has_text=words).first.wait_for()

    # Step by hand, then let it play to the end; then other ranks.
    explorer.scroll_into_view_if_needed()
    wait_for_title(explorer, "before the first of 6 rounds")
    explorer.locator(".noUi-handle").nth(1).focus()
    page.page.keyboard.press("ArrowRight")
    wait_for_title(explorer, "round 1 of 6")
    explorer.locator(".jupyter-button").first.click()
    wait_for_title(explorer, "round 6 of 6")
    page.page.screenshot(path=str(tmp_path / "explorer.png"))
    explorer.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowRight")
    wait_for_title(explorer, "9 ranks: before the first")
    page.page.keyboard.press("End")
    wait_for_title(explorer, "32 ranks: before the first of 10 rounds")
    explorer.get_by_text("rank 31", exact=True).wait_for()
    page.page.screenshot(path=str(tmp_path / "explorer32.png"))
    explorer.locator("select").first.select_option("scan")
    wait_for_title(explorer, "scan_linear, 32 ranks")

    # Measure on two real ranks.
    times.scroll_into_view_if_needed()
    times.get_by_role("button", name="Run on real ranks").click()
    times.get_by_text("Measured 3 algorithms at 3 sizes on 2 ranks").wait_for()
    expect(times.locator(".gtitle").first).to_contain_text("points: this machine")
    times.locator(".scatterlayer .points path").nth(8).wait_for(state="attached")
    expect(times.locator(".legend .traces")).to_have_count(5)  # two lines, three times points; no crossover
    page.page.screenshot(path=str(tmp_path / "times.png"))

    # Play the timeline from the start.
    live.scroll_into_view_if_needed()
    live.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("Home")
    wait_for_title(live, "At 0 ns")
    live.locator(".jupyter-button").first.click()
    wait_for_title(live, "24 messages")
    page.page.screenshot(path=str(tmp_path / "live.png"))

    assert page.foreign_requests == []
    assert page.errors == []
