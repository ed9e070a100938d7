"""Lesson 01 as a student meets it: run all, click a bit, move the slider of an accident."""

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_floating_point.ipynb"

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(500)]


def test_lesson_01(lab, tmp_path):
    page = lab(NOTEBOOK)
    page.run_all(timeout_s=300)
    prompts = page.page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
    assert prompts and all(prompt.strip("[]: \n").isdigit() for prompt in prompts), prompts
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    cells = page.page.locator(".jp-CodeCell")
    figures = page.page.locator(".js-plotly-plot .gtitle")
    # Editor, two number lines, errors, orders, two trees, five accidents, growth, updates, gradients twice, training.
    assert figures.count() == 17, figures.all_text_contents()

    editor = cells.filter(has=page.page.locator(".bit")).first
    editor.scroll_into_view_if_needed()
    editor.locator("[data-reading='exact value']", has_text="0.0999755859375").wait_for(timeout=30_000)
    editor.locator(".bit").last.click()
    editor.locator("[data-reading='exact value']", has_text="0.10003662109375").wait_for(timeout=30_000)
    editor.locator(".gtitle", has_text="0.10003662109375 in binary16").wait_for(timeout=30_000)
    editor.screenshot(path=str(tmp_path / "editor.png"))

    patriot = cells.filter(has_text='AccidentExplorer("patriot")').first
    patriot.scroll_into_view_if_needed()
    patriot.locator(".gtitle", has_text="After 100 h: 0.3433 s lost").wait_for(timeout=30_000)
    patriot.locator(".noUi-handle").first.focus()
    for _ in range(20):
        page.page.keyboard.press("ArrowRight")
    patriot.locator(".gtitle", has_text="After 120 h: 0.4120 s lost").wait_for(timeout=30_000)
    patriot.screenshot(path=str(tmp_path / "patriot.png"))

    # Four real ranks, four groupings: the plain sums differ, the others do not.
    plain, free = (
        re.findall(r"p = \d(.*)", cells.filter(has_text=call).first.locator(".jp-OutputArea").inner_text())
        for call in ("team.Allreduce", "allreduce_sum_exact")
    )
    assert len(plain) == 4 and len(set(plain)) > 1, plain
    assert len(free) == 4 and len(set(free)) == 1, free
    assert page.foreign_requests == []
    assert page.errors == []
