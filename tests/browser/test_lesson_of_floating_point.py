"""Lesson 01 as a student meets it: run all, click a bit, move the slider of an accident."""

import re

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]


def test_lesson_01(lab, tmp_path):
    page = run_lesson(lab, "01_floating_point")
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    cells = page.page.locator(".jp-CodeCell")
    # Editor, two number lines, errors, orders, two trees, five accidents, growth, updates, gradients twice, training.
    expect(page.page.locator(".js-plotly-plot .gtitle")).to_have_count(17)

    editor = cells.filter(has=page.page.locator(".bit")).first
    editor.scroll_into_view_if_needed()
    editor.locator("[data-reading='exact value']", has_text="0.0999755859375").wait_for()
    editor.locator(".bit").last.click()
    editor.locator("[data-reading='exact value']", has_text="0.10003662109375").wait_for()
    editor.locator(".gtitle", has_text="0.10003662109375 in binary16").wait_for()
    editor.screenshot(path=str(tmp_path / "editor.png"))

    patriot = cells.filter(has_text='AccidentExplorer("patriot")').first
    patriot.scroll_into_view_if_needed()
    patriot.locator(".gtitle", has_text="After 100 h: 0.3433 s lost").wait_for()
    patriot.locator(".noUi-handle").first.focus()
    for _ in range(20):
        page.page.keyboard.press("ArrowRight")
    patriot.locator(".gtitle", has_text="After 120 h: 0.4120 s lost").wait_for()
    patriot.screenshot(path=str(tmp_path / "patriot.png"))

    # Four real ranks, four groupings: the plain sums differ, the others do not.
    found = []
    for call in ("team.Allreduce", "allreduce_sum_exact"):
        said = cells.filter(has_text=call).first.locator(".jp-OutputArea")
        expect(said).to_contain_text(re.compile(r"(p = \d[\s\S]*){4}"))
        found.append(re.findall(r"p = \d(.*)", said.inner_text()))
    plain, free = found
    assert len(plain) == 4 and len(set(plain)) > 1, plain
    assert len(free) == 4 and len(set(free)) == 1, free
    assert page.foreign_requests == []
    assert page.errors == []
