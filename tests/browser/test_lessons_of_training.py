"""Lessons 06, 07 and 11 as a student meets them: run all, train with a widget of each, kill a rank and watch."""

import re

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(600)]
PATIENCE_MS = 150_000


def title(page, words):
    """The title of a figure, which Lab draws when it comes into view."""
    return page.page.locator(".js-plotly-plot .gtitle", has_text=words).first


def check_figures(page, titles):
    for words in titles:
        expect(title(page, re.compile(words) if "?" in words else words)).to_be_attached(timeout=60_000)


def widget(page, words):
    """The innermost box that has these words."""
    found = page.page.locator(".jp-OutputArea-output", has_text=words).first
    found.scroll_into_view_if_needed()
    return found


def steps(page, found, slider, number, key="ArrowRight"):
    found.locator(".noUi-handle").nth(slider).focus()
    for _ in range(number):
        page.page.keyboard.press(key)
    page.page.wait_for_timeout(500)  # the page holds values back until the kernel has taken those before


def test_lesson_06(lab, tmp_path):
    page = run_lesson(lab, "06_data_parallel")
    check_figures(page, ("Step 11 of overlapped", "Memory of a device", "Horovod's three networks", "One step on 512 GPUs"))

    scale = widget(page, "overlap with the backward pass")
    steps(page, scale, 1, 1, "ArrowLeft")  # half as many GPUs
    expect(scale.locator(".gtitle", has_text="One step on 256 GPUs")).to_be_visible(timeout=60_000)
    scale.locator("select").first.select_option("VGG-16")
    expect(scale.get_by_text("553 MB of gradients")).to_be_visible(timeout=60_000)

    table = widget(page, "hold Ctrl or Shift")
    table.locator("select").first.select_option("mlp, digits")
    table.locator("select").last.select_option(["flat", "zero_3"])
    steps(page, table, 1, 2, "ArrowLeft")
    table.get_by_role("button", name="Train").click()
    expect(table.get_by_text("The fewest bytes a step: flat")).to_be_visible(timeout=PATIENCE_MS)
    expect(table.locator(".gtitle", has_text="mlp, digits on 2 ranks, 10 steps")).to_be_visible(timeout=60_000)
    expect(table.locator(".js-plotly-plot")).to_have_count(2)
    page.page.screenshot(path=str(tmp_path / "table.png"))
    assert page.foreign_requests == [] and page.errors == []


def test_lesson_07(lab, tmp_path):
    page = run_lesson(lab, "07_parameter_server")
    check_figures(page, (
        "gradients into the hub", "bsp: clocks at most 1 step apart", "ssp,3: clocks", "async: clocks",
        "Staleness on average: bsp 0", "Loss by step, and by time",
    ))
    explorer = widget(page, "worker 1 stalls")
    steps(page, explorer, 0, 2, "ArrowLeft")  # two workers
    steps(page, explorer, 1, 2, "ArrowLeft")  # a bound of 1
    explorer.get_by_role("button", name="Train").click()
    expect(explorer.locator(".gtitle", has_text="ssp,1: clocks at most 2 steps apart; 2 workers")).to_be_visible(timeout=PATIENCE_MS)
    expect(explorer.get_by_text(re.compile("bsp: .* s of virtual time"))).to_be_visible(timeout=60_000)
    page.page.screenshot(path=str(tmp_path / "explorer.png"))
    assert page.foreign_requests == [] and page.errors == []


def test_lesson_11(lab, tmp_path):
    page = run_lesson(lab, "11_fault_tolerance")
    # 15, if the checkpoint of step 20 was still being written, beside training, when the rank was killed.
    check_figures(page, ("Least at 17 min between checkpoints", "50 steps; 1?5 done twice", "Cost of the job: spot"))

    spot = widget(page, "simulate jobs too")
    before = spot.locator(".gtitle").first.text_content()
    steps(page, spot, 1, 8)  # more machines, more failures
    expect(spot.get_by_text("Of 24 spot machines one is lost")).to_be_visible(timeout=60_000)
    expect(spot.locator(".gtitle").first).not_to_have_text(before, timeout=60_000)

    faults = widget(page, "a spare worker takes its place")
    steps(page, faults, 1, 1, "ArrowLeft")  # rank 0
    steps(page, faults, 2, 3, "ArrowLeft")  # after step 22 instead of 25
    faults.get_by_role("button", name="Run").click()
    # 12, if the checkpoint of step 20 was still being written.
    lost = re.compile("rank 0 killed by SIGKILL: 1?2 steps lost, training again on 1 rank")
    expect(faults.get_by_text(lost)).to_be_visible(timeout=PATIENCE_MS)
    expect(faults.locator(".gtitle", has_text=re.compile("60 steps; 1?2 done twice"))).to_be_visible(timeout=60_000)
    page.page.screenshot(path=str(tmp_path / "killed.png"))
    assert page.foreign_requests == [] and page.errors == []
