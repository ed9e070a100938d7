"""Lesson 09 as a student meets it: run all, move the sliders, count the messages of real ranks."""

import re

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(500)]
WAIT_MS = 120_000


def test_lesson_09(lab, tmp_path):
    page = run_lesson(lab, "09_tensor_parallel")
    titles = page.page.locator(".js-plotly-plot .gtitle")  # two pictures, and both of the explorer
    expect(titles).to_have_count(4, timeout=WAIT_MS)
    for cell in page.saved().cells:
        text = "".join(output.text for output in cell.get("outputs", ()) if output.output_type == "stream")
        if "sequence_parallel=sequence_parallel)\n" in cell.source:
            assert text.count("equals one process") == 2, text
        if "bug.strategy" in cell.source or "b.strategy()" in cell.source:
            assert text.count("weights after 20 steps by") == 4, text
        if "for call in group.calls" in cell.source:
            assert text.count("all-reduce of 65536 bytes") == 2, text

    explorer = page.page.locator(".widget-vbox", has_text="Run and count").first
    explorer.scroll_into_view_if_needed()
    picture = explorer.locator(".js-plotly-plot .gtitle").first
    expect(picture).to_have_text("Two products on 2 ranks: tensor", timeout=WAIT_MS)
    explorer.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowRight")
    expect(picture).to_have_text("Two products on 3 ranks: tensor", timeout=WAIT_MS)
    explorer.get_by_role("button", name="tensor and sequence").click()
    expect(picture).to_have_text("Two products on 3 ranks: tensor and sequence", timeout=WAIT_MS)
    expect(explorer.get_by_text("8 calls")).to_be_visible(timeout=WAIT_MS)
    explorer.get_by_role("button", name="Run and count").click()
    expect(explorer.get_by_text(re.compile("Counted on 3 ranks.*as the arithmetic says"))).to_be_visible(timeout=WAIT_MS)
    explorer.screenshot(path=str(tmp_path / "explorer.png"))
    explorer.locator(".noUi-handle").first.focus()
    page.page.keyboard.press("ArrowLeft")
    expect(picture).to_have_text("Two products on 2 ranks: tensor and sequence", timeout=WAIT_MS)
    explorer.get_by_role("button", name="real ranks", exact=True).click()
    explorer.get_by_role("button", name="Run and count").click()
    expect(explorer.get_by_text(re.compile("Counted on 2 ranks.*as the arithmetic says"))).to_be_visible(timeout=2 * WAIT_MS)
    assert page.foreign_requests == []
    assert page.errors == []
