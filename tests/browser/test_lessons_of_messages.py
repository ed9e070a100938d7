"""Lessons 04 and 05 as a student meets them: run all, move the widgets, measure on real ranks."""

from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(500)]


def open_and_run(lab, name):
    page = lab(NOTEBOOKS / f"{name}.ipynb")
    page.run_all(timeout_s=300)
    prompts = page.page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
    assert prompts and all(prompt.strip("[]: \n").isdigit() for prompt in prompts), prompts
    return page


def check_quiet(page, num_errors):
    """Only the errors that the lesson makes on purpose; nothing asked of the internet."""
    errors = page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
    assert len(errors) == num_errors and all("a cycle 0 -> 1 -> 2" in error for error in errors), errors
    assert page.foreign_requests == []
    assert page.errors == []


def test_lesson_04(lab):
    page = open_and_run(lab, "04_point_to_point")
    # Ping-pong, two wait-for graphs, three timelines of messages, one that grew, its
    # picture, overlap, halo, plate: all drawn.
    assert page.page.locator(".js-plotly-plot").count() == 11
    assert page.page.locator(".js-plotly-plot .main-svg").count() >= 11
    check_quiet(page, 2)


def test_lesson_05(lab, tmp_path):
    page = open_and_run(lab, "05_collectives")
    explorer = page.page.locator(".widget-vbox", has_text="rounds, 7 messages on 8 ranks").first
    explorer.scroll_into_view_if_needed()
    before = explorer.locator(".js-plotly-plot .gtitle").first.text_content()
    handle = explorer.locator(".noUi-handle").last  # of the rounds
    handle.focus()
    page.page.keyboard.press("ArrowRight")
    page.page.wait_for_function(
        "([element, before]) => element.querySelector('.js-plotly-plot .gtitle').textContent !== before",
        arg=[explorer.element_handle(), before], timeout=20_000,
    )

    times = page.page.locator(".widget-vbox", has_text="Run on real ranks").last
    times.scroll_into_view_if_needed()
    sizes = times.locator(".noUi-handle-upper, .noUi-handle").last
    sizes.focus()
    for _ in range(9):  # small messages only
        page.page.keyboard.press("ArrowLeft")
    times.get_by_role("button", name="Run on real ranks").click()
    times.get_by_text("Measured 5 algorithms").wait_for(timeout=200_000)
    assert "points: this machine" in times.locator(".js-plotly-plot .gtitle").first.text_content()
    times.screenshot(path=str(tmp_path / "times.png"))
    check_quiet(page, 0)
