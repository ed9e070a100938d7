"""The designer of pipeline schedules in real Lab: controls change picture and words, and real ranks are drawn into it."""

from pathlib import Path

import nbformat
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(500)]
CELLS = (
    "from labkit.widgets.pipeline import PipelineDesigner\nPipelineDesigner('1f1b', 4, 8)",
    "from IPython.display import display\nfrom labkit.training.pipeline.token_slices import best_slices\n"
    "from labkit.views.display import figure_bundle\nfrom labkit.views.token_slices import token_slices_figure\n"
    "best = best_slices(512, lambda length, at: 1e-3 + 1e-5 * length + 1e-7 * length * at, 8, granularity=16)\n"
    "display(figure_bundle(token_slices_figure({'best': best})), raw=True)",
)


def test_design_a_schedule_and_run_it(lab, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("pipeline.ipynb"), nbformat.writes(notebook))
    page.run_all(timeout_s=180)
    designer, slices = (page.page.locator(".jp-CodeCell").nth(k) for k in range(2))
    slices.locator(".gtitle", has_text="Least time: best").wait_for(timeout=60_000)
    slices.screenshot(path=str(tmp_path / "slices.png"))

    def wait_for_title(words):
        designer.locator(".gtitle", has_text=words).first.wait_for(timeout=60_000)

    designer.scroll_into_view_if_needed()
    wait_for_title("1f1b: 4 ranks, 8 micro-batches")
    assert designer.locator(".barlayer .point").count() == 2 * 4 * 8
    schedule = designer.locator("select").first
    schedule.select_option("interleaved")
    wait_for_title("interleaved: 4 ranks of 2 stages")
    designer.locator(".noUi-handle").nth(1).focus()  # micro-batches: 9 are no multiple of 4
    page.page.keyboard.press("ArrowRight")
    designer.get_by_text("There is no such plan").wait_for(timeout=60_000)
    assert designer.get_by_role("button", name="Run on real ranks").is_disabled()
    schedule.select_option("zb-searched")
    wait_for_title("zb-searched: 4 ranks, 9 micro-batches")
    designer.screenshot(path=str(tmp_path / "searched.png"))
    schedule.select_option("gpipe")  # one trace less, and then others of the same kinds
    wait_for_title("gpipe: 4 ranks, 9 micro-batches")
    schedule.select_option("terapipe")
    wait_for_title("terapipe: 4 ranks, 9 micro-batches")
    assert designer.locator(".barlayer .point").count() == 2 * 4 * 9 * 4
    schedule.select_option("zb-h1")
    wait_for_title("zb-h1: 4 ranks, 9 micro-batches")
    assert page.errors == []
    designer.get_by_role("button", name="Run on real ranks").click()
    designer.get_by_role("button", name="Stop").wait_for(timeout=60_000)
    designer.get_by_text("Measured: a step takes").wait_for(timeout=200_000)
    wait_for_title("measured")
    assert designer.locator(".barlayer .point").count() == 2 * 3 * 4 * 9
    designer.screenshot(path=str(tmp_path / "measured.png"))
    assert designer.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.foreign_requests == []
    assert page.errors == []
