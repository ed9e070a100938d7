"""Lesson 02 as a student meets it: run all, move the temperature, merge states step by step, fit the temperature."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "02_softmax.ipynb"

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(500)]


def test_lesson_02(lab, tmp_path):
    page = lab(NOTEBOOK)
    page.run_all(timeout_s=300)
    prompts = page.page.locator(".jp-CodeCell .jp-InputPrompt").all_text_contents()
    assert prompts and all(prompt.strip("[]: \n").isdigit() for prompt in prompts), prompts
    assert page.page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    # Probabilities, a digit, the line of losses, calibration, failures, merges, passes, errors, the vocabulary, a timeline.
    titles = page.page.locator(".js-plotly-plot .gtitle").all_text_contents()
    assert len(titles) == 10, titles

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
    probabilities.locator(".gtitle", has_text="at temperature 2: entropy").wait_for(timeout=60_000)
    probabilities.get_by_text("has 40.48%").wait_for(timeout=60_000)
    page.page.screenshot(path=str(tmp_path / "temperature.png"))

    merges = explorer("how many")
    steps(merges, 1, 1)
    merges.locator(".gtitle", has_text="1 of 7 merges done").wait_for(timeout=60_000)
    steps(merges, 1, 6)
    merges.locator(".gtitle", has_text="all states are one").wait_for(timeout=60_000)
    page.page.screenshot(path=str(tmp_path / "merges.png"))

    calibration = explorer("trained with label smoothing")
    before = calibration.locator(".gtitle").text_content()
    calibration.get_by_role("button", name="Fitted temperature").click()
    calibration.locator(".gtitle", has_text="Temperature 2.18").wait_for(timeout=60_000)
    error_before, error_after = (
        float(words.rsplit(" ", 1)[1].rstrip("%")) for words in (before, calibration.locator(".gtitle").text_content())
    )
    assert error_after < error_before
    assert page.foreign_requests == []
    assert page.errors == []
