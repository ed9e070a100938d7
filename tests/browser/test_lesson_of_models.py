"""Lesson 08 as a student meets it: run all, cut another model, choose another schedule, and run it on real ranks."""

import re

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]
SLOW_MS = 120_000


def test_lesson_08(lab, tmp_path):
    page = run_lesson(lab, "08_model_parallel")
    # The tree by parameters and by time, tree and balance of the explorer, one after the other, GPipe, 1F1B,
    # interleaved, two without bubbles, the designer, measured, feeding.
    expect(page.page.locator(".js-plotly-plot .gtitle")).to_have_count(13, timeout=SLOW_MS)

    explorer = page.page.locator(".widget-vbox", has_text="cut by").last
    explorer = page.page.locator(".jp-CodeCell", has=explorer)
    explorer.scroll_into_view_if_needed()
    model, method = explorer.locator("select").nth(0), explorer.locator("select").nth(1)
    model.select_option("CNN")
    expect(explorer.locator(".gtitle", has_text="CNN")).to_be_visible(timeout=SLOW_MS)
    method.select_option("equal parameters")
    expect(explorer.get_by_text("layers that may be parted")).to_be_visible(timeout=SLOW_MS)
    explorer.screenshot(path=str(tmp_path / "explorer.png"))

    designer = page.page.locator(".jp-CodeCell", has=page.page.get_by_role("button", name="Run on real ranks"))
    designer.scroll_into_view_if_needed()
    expect(designer.locator(".gtitle")).to_contain_text("1f1b", timeout=SLOW_MS)
    designer.locator("select").first.select_option("zb-h1")
    expect(designer.locator(".gtitle")).to_contain_text("zb-h1", timeout=SLOW_MS)
    designer.get_by_role("button", name="Run on real ranks").click()
    expect(designer.get_by_text(re.compile("The weights differ from those of one process by"))).to_be_visible(timeout=SLOW_MS)
    expect(designer.locator(".gtitle")).to_contain_text("measured", timeout=SLOW_MS)
    designer.screenshot(path=str(tmp_path / "designer.png"))
    assert page.foreign_requests == []
    assert page.errors == []
