"""Lesson 03 as a student meets it: run all, move the schedule explorer, run the race and the schedule on real threads."""

import shutil

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [
    pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="the C cells need a compiler: 'apt install gcc'"),
]


def test_lesson_03(lab, tmp_path):
    page = run_lesson(lab, "03_threads")
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    # Map and Gantt chart of the explorer, two traces, race, costs, false sharing, graph of tasks, speed-up, too many
    # threads, roofline, the lock, ranks and threads.
    expect(page.page.locator(".js-plotly-plot .gtitle")).to_have_count(13)

    explorer = page.page.locator(".widget-vbox", has_text="Run on real threads").last
    explorer.scroll_into_view_if_needed()
    explorer.get_by_role("button", name="Run on real threads").click()
    explorer.get_by_text("on one thread").first.wait_for()

    race = page.page.locator(".widget-vbox", has_text="Run the race").last
    race.scroll_into_view_if_needed()
    race.get_by_role("button", name="Run the race").click()
    race.get_by_text("were right every time").wait_for()
    race.screenshot(path=str(tmp_path / "race.png"))
    assert page.foreign_requests == []
    assert page.errors == []
