"""Lesson 12 as a student meets it: run all, both servers under load, move the traffic."""

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
PATIENCE_MS = 150_000
TITLES = (
    "Cold starts: the longest takes", "Up to 5 requests at once, 5 environments", "Batching:", "Latency over the load",
)


def test_lesson_12(lab, tmp_path):
    page = run_lesson(lab, "12_serving")
    for number, words in enumerate(TITLES):
        found = page.page.locator(".js-plotly-plot .gtitle", has_text=words).first
        expect(found).to_be_attached(timeout=60_000)
        found.scroll_into_view_if_needed()
        page.page.screenshot(path=str(tmp_path / f"figure-{number}.png"))
    assert page.foreign_requests == [] and page.errors == []
