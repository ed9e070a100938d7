"""Lessons 04 and 05 as a student meets them: run all, move the widgets, measure on real ranks."""

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]


def check_quiet(page, num_errors):
    """Only the errors that the lesson makes on purpose; nothing asked of the internet."""
    errors = page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
    assert len(errors) == num_errors and all("a cycle 0 -> 1 -> 2" in error for error in errors), errors
    assert page.foreign_requests == []
    assert page.errors == []


def test_lesson_04(lab):
    page = run_lesson(lab, "04_point_to_point")
    # Ping-pong, two wait-for graphs, three timelines of messages, one that grew, its
    # picture, overlap, halo, plate: all drawn.
    page.wait_for_figures(11)
    check_quiet(page, 2)


def test_lesson_05(lab, tmp_path):
    page = run_lesson(lab, "05_collectives")
    explorer = page.page.locator(".widget-vbox", has_text="rounds, 7 messages on 8 ranks").first
    explorer.scroll_into_view_if_needed()
    title = explorer.locator(".js-plotly-plot .gtitle").first
    before = title.text_content()
    handle = explorer.locator(".noUi-handle").last  # of the rounds
    handle.focus()
    page.page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text(before)

    times = page.page.locator(".widget-vbox", has_text="Run on real ranks").last
    times.scroll_into_view_if_needed()
    sizes = times.locator(".noUi-handle-upper, .noUi-handle").last
    sizes.focus()
    for _ in range(9):  # small messages only
        page.page.keyboard.press("ArrowLeft")
    times.get_by_role("button", name="Run on real ranks").click()
    times.get_by_text("Measured 5 algorithms").wait_for(timeout=200_000)
    expect(times.locator(".js-plotly-plot .gtitle").first).to_contain_text("points: this machine")
    times.screenshot(path=str(tmp_path / "times.png"))
    check_quiet(page, 0)
