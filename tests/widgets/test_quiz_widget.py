"""Quiz, flashcards, summary and map without a browser: what is sent to a page, and what its messages do."""

import json

import pytest

from labkit import course_map, flashcards, quiz, summary
from labkit.grading.course import LESSONS
from labkit.grading.outcomes import Status
from labkit.grading.progress import read_progress, record_quiz
from labkit.grading.quiz_file import load_quiz
from labkit.views.theme import KIND_COLOURS
from labkit.widgets.markup import to_html, to_inline_html
from labkit.widgets.study import StudyWidget, style_sheet

WRITTEN = [lesson.name for lesson in LESSONS if lesson.exists]
LESSON = "04_point_to_point"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def bundle(widget):
    found = widget._repr_mimebundle_()
    return found[0] if isinstance(found, tuple) else found


def line(text):
    """As it would stand in what is sent, wherever in a paragraph."""
    return json.dumps(to_inline_html(" ".join(text.split())))[1:-1]


def reasons(question):
    """What is said about wrong answers."""
    return question.reasons if question.kind == "order" else [why for _, why in question.wrong]


def send(widget, **message):
    """As a page does."""
    widget._handle_custom_msg(message, [])


def test_the_page_does_not_learn_the_answers_before_they_are_given():
    for lesson in WRITTEN:
        widget = quiz(lesson)
        sent, text = json.dumps(widget.get_state()["state"]), bundle(widget)["text/plain"]
        assert len(widget.state["questions"]) == len(widget.run.quiz.questions)
        for question, shown in zip(widget.run.quiz.questions, widget.state["questions"], strict=True):
            assert set(shown) == {"kind", "html", "points", "options", "unit"}
            assert line(question.explanation) not in sent and question.explanation not in text
            assert not any(line(why) in sent for why in reasons(question))
            if question.kind == "choice":
                options = [to_inline_html(choice) for choice in question.choices]
                assert shown["options"] == options
            if question.kind == "order":
                assert shown["options"] == [to_inline_html(step) for step in question.shown]
                assert shown["options"] != [to_inline_html(step) for step in question.steps]


def test_messages_of_a_page_are_judged_and_kept():
    widget = quiz(LESSON)
    questions = widget.run.quiz.questions
    at = next(k for k, question in enumerate(questions) if question.kind == "choice")
    right = questions[at].choices.index(questions[at].right)
    wrong = (right + 1) % 4
    send(widget, do="answer", question=at, given=wrong)
    answer = widget.state["answers"][at]
    assert answer["status"] == "incorrect"
    assert answer["html"] == to_html(dict(questions[at].wrong)[questions[at].choices[wrong]])
    assert widget.state["tried"][at] == [wrong] and widget.state["points"] == 0
    send(widget, do="answer", question=at, given=wrong)
    assert widget.state["tried"][at] == [wrong]
    send(widget, do="answer", question=at, given=right)
    assert widget.state["answers"][at]["status"] == "passed" and widget.state["points"] == 0.5
    send(widget, do="answer", question=0, given="102 us")
    assert widget.state["points"] == widget.state["best"] == 1.5
    assert widget.verdict().status is Status.INCORRECT and widget.verdict().num_passed == 2
    send(widget, do="restart")
    assert widget.state["points"] == 0 and widget.state["best"] == 1.5
    assert widget.state["answers"] == [None] * len(questions)
    assert read_progress().quiz_points(LESSON) == {questions[at].name: 0.5, questions[0].name: 1.0}


@pytest.mark.parametrize(
    "message",
    [
        {}, {"do": "answer"}, {"do": "answer", "question": 99, "given": 0},
        {"do": "answer", "question": "0", "given": 0},
        {"do": "answer", "question": 0}, {"do": "answer", "question": 0, "given": {"a": 1}},
        {"do": "answer", "question": 3, "given": 17}, {"do": "answer", "question": 8, "given": [0, 0]},
        {"do": "run", "code": "1"},
    ],
)
def test_odd_messages_change_no_points(message):
    widget = quiz(LESSON)
    send(widget, **message)
    assert widget.run.points == 0 and not any(widget.run.tried)
    json.dumps(widget.state)


def test_what_a_student_types_cannot_become_html():
    widget = quiz(LESSON)
    widget.answer(1, "<img src=x onerror=alert(1)>")
    assert widget.state["answers"][0]["status"] == "not attempted"
    assert "<img" not in widget.state["answers"][0]["html"] and "&lt;img" in widget.state["answers"][0]["html"]


def test_without_a_page_everything_is_text():
    widget = quiz(LESSON)
    data = bundle(widget)
    assert VIEW in data and data["text/plain"] == repr(widget)
    for question in widget.run.quiz.questions:
        assert question.text in data["text/plain"]
        assert all(f") {choice}" in data["text/plain"] for choice in getattr(question, "choices", ()))
    assert widget.answer(2, "12").text().startswith("Right, 1 of 1 points.")
    assert "Right, 1 of 1 points." in repr(widget)
    with pytest.raises(IndexError, match="the questions are 1 to 9"):
        widget.answer(0, "a")
    assert "Latency, alpha: What a message costs" in bundle(flashcards(LESSON))["text/plain"]
    levels = bundle(summary(LESSON))["text/plain"]
    assert levels.index("Basic") < levels.index("Medium") < levels.index("Detailed")
    assert "04 Point to point" in bundle(course_map())["text/plain"]


def test_cards_follow_the_page():
    widget = flashcards(LESSON)
    first = widget.state["card"]["term"]
    send(widget, do="known", term="another card")  # clicked on what is no longer there
    assert widget.state["card"]["term"] == first and widget.state["known"] == 0
    send(widget, do="known", term=first)
    send(widget, do="known", term=first)  # twice, quickly
    assert widget.state["known"] == 1 and widget.state["left"] == widget.state["total"] - 1
    second = widget.state["card"]["term"]
    send(widget, do="again", term=second)
    assert widget.state["card"]["term"] not in (first, second) and widget.state["left"] == widget.state["total"] - 1
    while widget.state["card"]:
        send(widget, do="known", term=widget.state["card"]["term"])
    assert widget.state["known"] == widget.state["total"] == sum(widget.state["boxes"])
    send(widget, do="begin")
    assert widget.state["left"] == widget.state["total"]


def test_a_place_where_nothing_can_be_kept_is_told_on_the_page(own_file, monkeypatch):
    own_file.write_text("")
    monkeypatch.setenv("LABKIT_PROGRESS", str(own_file / "below a file"))
    assert "could not be kept" in quiz(LESSON).state["problem"]
    assert "could not be kept" in flashcards(LESSON).state["problem"]
    assert summary(LESSON).state["levels"][0]["name"] == "Basic"
    widget = quiz(LESSON)
    assert widget.answer(1, "102").passed and widget.state["best"] == 1


def test_the_map_shows_what_is_kept_and_looks_again():
    def words(shown):
        return {note.text for note in shown.figure.layout.annotations}

    shown = course_map()
    assert "0/9" in words(shown) and "<b>12</b>" in words(shown)
    record_quiz(LESSON, {"pack": 1.0, "halo-64": 0.5})
    assert "1.5/9" not in words(shown)
    shown.button.click()
    total = sum(load_quiz(lesson.name).max_points for lesson in LESSONS if lesson.exists)
    assert "1.5/9" in words(shown) and f"1.5 of {total:g} points" in shown.sentence.value


def test_the_style_has_the_colours_of_the_figures_and_the_text_is_safe():
    assert f"--labkit-right: {KIND_COLOURS['recv']};" in style_sheet() and style_sheet() == StudyWidget._css
    assert to_html("a <b> & `x < y`") == "<p>a &lt;b&gt; &amp; <code>x &lt; y</code></p>"
    assert to_html("```\nif a < b:\n\n    c\n```\nafter") == "<pre><code>if a &lt; b:\n\n    c</code></pre><p>after</p>"
    assert to_html("|a|b|\n|---|---|\n|1|`2`|") == (
        "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>1</td><td><code>2</code></td></tr></tbody></table>"
    )
    assert to_html("- one\n  more\n- **two**") == "<ul><li>one more</li><li><strong>two</strong></li></ul>"
    assert to_inline_html("2 * p * q and `(N/q)**2`") == "2 * p * q and <code>(N/q)**2</code>"
    assert to_inline_html("**`x`**") == "<strong><code>x</code></strong>"
