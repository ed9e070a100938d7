"""Lesson 12 as a student meets it: run all, both servers under load, then move the traffic."""

import re

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
PATIENCE_MS = 150_000
TITLES = (
    "Cold starts: the longest takes", "Up to 5 requests at once, 5 environments", "Batching:", "Latency over the load",
    "Same cost at",
)


def test_lesson_12(lab, tmp_path):
    page = run_lesson(lab, "12_serving")
    for number, words in enumerate(TITLES):
        found = page.page.locator(".js-plotly-plot .gtitle", has_text=words).first
        expect(found).to_be_attached(timeout=60_000)
        found.scroll_into_view_if_needed()
        expect(found).to_be_visible()
        page.page.wait_for_timeout(300)  # for the picture alone
        page.page.screenshot(path=str(tmp_path / f"figure-{number}.png"))

    slider = page.page.locator(".jp-OutputArea-output", has_text="requests a month").filter(has=page.page.locator(".noUi-handle"))
    requests = slider.first.locator(".noUi-handle").first
    requests.scroll_into_view_if_needed()
    sentence = slider.first.get_by_text(re.compile("At [0-9,]+ requests a month the"))
    expect(sentence).to_contain_text("the function is cheaper:")
    page.page.screenshot(path=str(tmp_path / "few.png"))
    requests.focus()
    for _ in range(15):
        page.page.keyboard.press("PageUp")
    expect(sentence).to_contain_text("the instances are cheaper:", timeout=PATIENCE_MS)
    page.page.screenshot(path=str(tmp_path / "many.png"))
    page.page.mouse.wheel(0, 500)
    page.page.wait_for_timeout(500)
    page.page.screenshot(path=str(tmp_path / "below.png"))
    assert page.foreign_requests == [] and page.errors == []
