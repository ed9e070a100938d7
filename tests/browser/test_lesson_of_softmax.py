"""Lesson 02 as a student meets it: run all, move the temperature, merge states step by step, fit the temperature."""

import pytest
from lab import run_lesson
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]


def test_lesson_02(lab, tmp_path):
    page = run_lesson(lab, "02_softmax")
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    # Probabilities, a digit, the line of losses, calibration, failures, merges, passes, errors, the vocabulary, a timeline.
    expect(page.page.locator(".js-plotly-plot .gtitle")).to_have_count(10)

    def explorer(words):
        found = page.page.locator(".jp-OutputArea-output", has_text=words).first
        found.scroll_into_view_if_needed()
        return found

    def steps(found, slider, number, key="ArrowRight"):
        found.locator(".noUi-handle").nth(slider).focus()
        for _ in range(number):
            page.page.keyboard.press(key)

    # Logits 4, 3.5, 2, 1, -1, -4 halved: the first has 1 / (1 + e^-0.25 + ...) = 40.48 %.
    probabilities = explorer("left out (mask)")
    steps(probabilities, 0, 4)
    probabilities.locator(".gtitle", has_text="at temperature 2: entropy").wait_for()
    probabilities.get_by_text("has 40.48%").wait_for()
    page.page.screenshot(path=str(tmp_path / "temperature.png"))

    merges = explorer("how many")
    steps(merges, 1, 1)
    merges.locator(".gtitle", has_text="1 of 7 merges done").wait_for()
    steps(merges, 1, 6)
    merges.locator(".gtitle", has_text="all states are one").wait_for()
    page.page.screenshot(path=str(tmp_path / "merges.png"))

    calibration = explorer("trained with label smoothing")
    before = calibration.locator(".gtitle").text_content()
    calibration.get_by_role("button", name="Fitted temperature").click()
    calibration.locator(".gtitle", has_text="Temperature 2.18").wait_for()
    error_before, error_after = (
        float(words.rsplit(" ", 1)[1].rstrip("%")) for words in (before, calibration.locator(".gtitle").text_content())
    )
    assert error_after < error_before
    assert page.foreign_requests == []
    assert page.errors == []
