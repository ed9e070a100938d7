"""Quiz, flashcards, summary and map as a student meets them: wrong, right, another kernel, the map knows."""

import json
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from labkit.grading.course import LESSONS
from labkit.grading.quiz_file import load_quiz

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

LESSON = "00_start_here"
CELLS = (
    f"from labkit import course_map, flashcards, quiz, summary\nquiz({LESSON!r})",
    f"flashcards({LESSON!r})",
    f"summary({LESSON!r})",
    "course_map()",
)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The file of progress; asked for before ``lab``, whose server inherits its name."""
    path = tmp_path / "kept" / "progress.json"
    monkeypatch.setenv("LABKIT_PROGRESS", str(path))
    return path


def notebook_text():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.writes(notebook)


def restart_kernel(page):
    page.page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.page.get_by_text("Restart Kernel and Clear Outputs of All Cells…", exact=True).click()
    page.page.locator(".jp-Dialog .jp-mod-accept.jp-mod-warn, .jp-Dialog .jp-mod-accept").last.click()
    expect(page.page.locator(".labkit-study")).to_have_count(0)
    page.page.get_by_text("| Idle").wait_for()


def texts_cut_off(page):
    """Texts in the widgets that are wider than what shows them."""
    return page.page.evaluate(
        "() => [...document.querySelectorAll('.labkit-study *')].filter(e => e.tagName !== 'PRE' && e.clientWidth"
        " && e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 200))"
    )


def test_answers_are_judged_and_kept(kept, lab, tmp_path):
    page = lab(Path("quiz.ipynb"), notebook_text())
    page.run_all(timeout_s=120)
    keyboard = page.page.keyboard
    quiz, cards, summary = (page.page.locator(".labkit-study").nth(k) for k in range(3))
    first, second, third = load_quiz(LESSON).questions[:3]

    # What came to the page does not hold the explanations, which would tell the answers.
    assert first.explanation[:30] not in page.page.content()

    # Wrong, with the keyboard alone: an arrow, Enter, and the explanation is there.
    quiz.scroll_into_view_if_needed()
    wrong = next(place for place, text in enumerate(first.choices) if text != first.right)
    quiz.locator("input").nth(wrong).focus()
    keyboard.press("Space")
    keyboard.press("Enter")
    quiz.locator(".feedback.wrong").get_by_text("Not right.").wait_for()
    expect(quiz.locator(".choice.wrong")).to_have_count(1)
    quiz.screenshot(path=str(tmp_path / "quiz_wrong.png"))
    keyboard.press("Enter")  # Try again has the focus
    quiz.locator(".feedback.wrong").wait_for(state="hidden")

    # Right.
    quiz.locator("input").nth(first.choices.index(first.right)).check()
    quiz.get_by_role("button", name="Check").click()
    quiz.locator(".feedback.right").get_by_text("Right. 0.5 of 1 points.").wait_for()
    quiz.screenshot(path=str(tmp_path / "quiz_right.png"))
    keyboard.press("Enter")  # Next question has the focus
    quiz.locator("input").nth(second.choices.index(second.right)).check()
    quiz.get_by_role("button", name="Check").click()
    quiz.locator(".score", has_text="1.5 of 7 points").wait_for()

    # A number: one that cannot be read costs nothing.
    keyboard.press("Enter")
    quiz.locator("input.number").fill("4,0")
    keyboard.press("Enter")
    quiz.locator(".feedback.open", has_text="a comma can mean two things").wait_for()
    quiz.screenshot(path=str(tmp_path / "quiz_number.png"))
    quiz.locator("input.number").fill("48/24*2")
    keyboard.press("Enter")
    quiz.locator(".feedback.open", has_text="cannot be read as a number").wait_for()
    quiz.locator("input.number").fill("96/24")
    keyboard.press("Enter")
    quiz.locator(".feedback.right").wait_for()

    # Steps are moved with the keyboard until they are in order.
    order = load_quiz(LESSON).questions[-1]
    quiz.get_by_role("button", name="Question 7").click()
    for at, step in enumerate(order.steps):
        plain = step.replace("`", "")
        while True:
            texts = quiz.locator(".order .what").all_text_contents()
            if texts[at] == plain:
                break
            quiz.locator(f".order li:nth-child({texts.index(plain) + 1}) .up").press("ArrowUp")
    quiz.screenshot(path=str(tmp_path / "quiz_order.png"))
    quiz.get_by_role("button", name="Check").click()
    quiz.locator(".score", has_text="3.5 of 7 points").wait_for()

    # A card: turn, known.
    cards.scroll_into_view_if_needed()
    cards.screenshot(path=str(tmp_path / "card_front.png"))
    cards.locator(".card").press("Enter")
    cards.locator(".card.turned .back").wait_for()
    cards.screenshot(path=str(tmp_path / "card_back.png"))
    keyboard.press("2")
    cards.locator(".score", has_text="1 of 11 known").wait_for()

    # The summary: three levels.
    summary.scroll_into_view_if_needed()
    summary.get_by_role("tab", name="Basic").focus()
    keyboard.press("ArrowRight")
    summary.get_by_text("There is no order between ranks").wait_for()
    summary.get_by_role("tab", name="Detailed").click()
    summary.get_by_text("Draw an arrow from each waiting rank").wait_for()
    summary.screenshot(path=str(tmp_path / "summary.png"))
    assert texts_cut_off(page) == []
    assert json.loads(kept.read_text())["lessons"][LESSON]["quiz"][second.name] == 1

    # Another kernel: the quiz begins anew, and the map and the best points are still there.
    restart_kernel(page)
    page.run_all(timeout_s=120)
    quiz.locator(".score", has_text="0 of 7 points, best 3.5").wait_for()
    course = page.page.locator(".jp-CodeCell").nth(3)
    course.scroll_into_view_if_needed()
    course.get_by_text("3.5/7", exact=True).wait_for()
    course.get_by_text("1/11", exact=True).wait_for()
    total = sum(load_quiz(lesson.name).max_points for lesson in LESSONS if lesson.exists)
    course.get_by_text(f"3.5 of {total:g} points in the quizzes so far").wait_for()
    course.screenshot(path=str(tmp_path / "map.png"))

    # What happens elsewhere is seen at the press of a button.
    content = json.loads(kept.read_text())
    content["lessons"][LESSON]["quiz"][first.name] = 1
    kept.write_text(json.dumps(content))
    course.get_by_role("button", name="Look again").click()
    course.get_by_text("4/7", exact=True).wait_for()

    assert page.foreign_requests == []
    assert page.errors == []
