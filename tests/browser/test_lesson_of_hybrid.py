"""Lesson 10 as a student meets it: run all, lay the mesh over the nodes in another way, choose another plan."""

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]


def test_lesson_10(lab, tmp_path):
    page = run_lesson(lab, "10_hybrid_parallel")
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    # The forecast of a run; the map of the mesh; memory, step and plans of the dashboard.
    expect(page.page.locator(".js-plotly-plot .gtitle")).to_have_count(5)

    order = page.page.locator(".widget-dropdown", has_text="slowest first").locator("select")
    order.scroll_into_view_if_needed()
    order.select_option("tp, dp, pp")
    expect(page.page.get_by_text("Tensor parallelism crosses nodes")).to_be_visible()
    page.page.screenshot(path=str(tmp_path / "mesh.png"))

    page.page.get_by_role("button", name="Take the fastest that fits").click()
    expect(page.page.get_by_text("Fits.")).to_be_visible()
    board = page.page.get_by_role("button", name="Take the fastest that fits")
    board.scroll_into_view_if_needed()
    page.page.screenshot(path=str(tmp_path / "dashboard.png"))
    assert page.foreign_requests == []
    assert page.errors == []
