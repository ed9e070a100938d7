"""Lesson 00 as a student meets it: open, run all, move the widget, look."""

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]


def test_lesson_runs_and_its_widget_moves(lab, tmp_path):
    page = run_lesson(lab, "00_start_here")
    # The deadlock is the only error.
    errors = page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_text_contents()
    assert len(errors) == 1 and "a cycle 0 -> 1 -> 0" in errors[0], errors
    # Machine, roofline, two timelines, the wait-for graph, the map of the course.
    page.wait_for_figures(6)

    # Move the slider: the sentence and the picture change.
    widget = page.page.locator(".widget-vbox").first
    widget.scroll_into_view_if_needed()
    point = widget.locator(".js-plotly-plot .scatterlayer .trace").last
    before = point.inner_html()
    handle = widget.locator(".noUi-handle")
    handle.focus()
    for _ in range(20):
        page.page.keyboard.press("ArrowRight")
    expect(widget).to_contain_text("Bound by the processor")
    page.page.wait_for_function(
        "([widget, before]) => [...widget.querySelectorAll('.js-plotly-plot .scatterlayer .trace')].at(-1).innerHTML"
        " !== before", arg=[widget.element_handle(), before],
    )
    page.page.screenshot(path=str(tmp_path / "roofline.png"))

    assert page.foreign_requests == []
    assert page.errors == []
