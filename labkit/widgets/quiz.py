"""The questions of a lesson on the page: answer, see at once whether it is right and why, try again."""

from __future__ import annotations

from labkit.grading.outcomes import Verdict
from labkit.grading.quiz import Answered, Question
from labkit.grading.quiz_file import load_quiz
from labkit.grading.quiz_run import QuizRun
from labkit.widgets.markup import to_html, to_inline_html
from labkit.widgets.study import StudyWidget

HOW_TO_ANSWER = 'Answer with answer(1, "b"), a number as answer(2, "1e-6"), an order as answer(3, "b a c").'


class QuizWidget(StudyWidget):
    """The quiz of a lesson. What is sent to the page does not contain the answers.

    Parameters
    ----------
    lesson : str
        ``"04_point_to_point"``.

    Attributes
    ----------
    run : QuizRun

    Examples
    --------
    >>> quiz = QuizWidget("04_point_to_point")
    >>> quiz.answer(1, "100").text()[:40]
    'Not right. This is the part of the bytes'
    >>> quiz.answer(1, "102").points
    0.5
    """

    def __init__(self, lesson: str):
        self.run = QuizRun(load_quiz(lesson))
        self._questions = [_shown(question) for question in self.run.quiz.questions]
        super().__init__(self._state())

    def answer(self, number: int, given) -> Answered:
        """Answer question ``number``, from 1, as text or value; the page follows.

        Parameters
        ----------
        number : int
        given : str, int, float or list of int
            A choice by letter or place from 0, a number, an order as letters or places from 0.
        """
        if not 1 <= number <= len(self._questions):
            raise IndexError(f"there is no question {number}; the questions are 1 to {len(self._questions)}.")
        found = self.run.answer(number - 1, given)
        self.state = self._state()
        return found

    def restart(self) -> None:
        """Begin again; the best points of each question are kept."""
        self.run.restart()
        self.state = self._state()

    def verdict(self) -> Verdict:
        """This pass as the grader's value."""
        return self.run.verdict()

    def react(self, message: dict) -> None:
        """``{"do": "answer", "question": 0, "given": ...}`` or ``{"do": "restart"}``."""
        number = message.get("question")
        if message.get("do") == "restart":
            self.restart()
        elif message.get("do") == "answer" and isinstance(number, int) and 0 <= number < len(self._questions):
            self.answer(number + 1, message.get("given"))

    def _state(self) -> dict:
        run = self.run
        return {
            "kind": "quiz", "title": run.quiz.title, "questions": self._questions,
            "answers": [None if answer is None else _told(answer) for answer in run.answers],
            "tried": [[given for given in tried if isinstance(given, int)] for tried in run.tried],
            "points": run.points, "best": run.best_points, "max": run.quiz.max_points, "problem": run.problem,
        }

    def text(self) -> str:
        """All questions, and how far they are answered."""
        run = self.run
        lines = [f"Questions on {run.quiz.title}: {run.points:.3g} of {run.quiz.max_points:g} points. {HOW_TO_ANSWER}"]
        for number, (question, answer) in enumerate(zip(run.quiz.questions, run.answers, strict=True), 1):
            lines += ["", f"{number}. {question.text}"]
            lines += [f"   {chr(97 + place)}) {text}" for place, text in enumerate(_options(question))]
            lines += [f"   {answer.text()}"] if answer is not None else []
        return "\n".join(lines)


def quiz(lesson: str) -> QuizWidget:
    """The questions of a lesson, ``quiz("04_point_to_point")``; answered on the page, or by ``.answer(1, "b")``."""
    return QuizWidget(lesson)


def _options(question: Question) -> tuple[str, ...]:
    if question.kind == "choice":
        return question.choices
    return question.shown if question.kind == "order" else ()


def _shown(question: Question) -> dict:
    """What the page may know of a question before it is answered."""
    return {
        "kind": question.kind, "html": to_html(question.text), "points": question.points,
        "options": [to_inline_html(text) for text in _options(question)], "unit": getattr(question, "unit", ""),
    }


def _told(answer: Answered) -> dict:
    return {
        "status": str(answer.status), "html": to_html(answer.explanation), "points": answer.points,
        "given": answer.given if isinstance(answer.given, (int, float, str, list)) else None, "wrong": answer.num_wrong,
    }
