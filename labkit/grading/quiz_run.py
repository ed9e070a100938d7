"""Going through the questions of a lesson: what was answered, what it is worth, what stays."""

from __future__ import annotations

from labkit.grading import progress
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.quiz import Answered, Quiz, judge_answer


class QuizRun:
    """One pass through a quiz. A question that has been answered right stays so until :meth:`restart`.

    Parameters
    ----------
    quiz : Quiz

    Attributes
    ----------
    answers : list of Answered or None
        The last answer to each question.
    tried : list of list
        Wrong answers to each question.
    problem : str
        Why the progress could not be kept, or "".
    """

    def __init__(self, quiz: Quiz):
        self.quiz = quiz
        self.problem = progress.record_visit(quiz.lesson)
        self.restart()

    def restart(self) -> None:
        """Begin again. The best points of each question are kept."""
        self.answers: list[Answered | None] = [None] * len(self.quiz.questions)
        self.tried: list[list] = [[] for _ in self.quiz.questions]

    def answer(self, index: int, given) -> Answered:
        """Judge an answer to question ``index``, from 0; the points are kept at once."""
        question, before = self.quiz.questions[index], self.answers[index]
        if before is not None and before.passed:
            return before
        found = judge_answer(question, given, len(self.tried[index]))
        if found.status is Status.INCORRECT:
            if given in self.tried[index]:  # the same once more says nothing new, and costs nothing
                found = judge_answer(question, given, len(self.tried[index]) - 1)
            else:
                self.tried[index].append(given)
        self.answers[index] = found
        if found.passed:
            self.problem = progress.record_quiz(self.quiz.lesson, {question.name: found.points})
        return found

    @property
    def points(self) -> float:
        """Of this pass."""
        return sum(answer.points for answer in self.answers if answer is not None)

    @property
    def best_points(self) -> float:
        """The best of each question in all passes, those of earlier days too."""
        kept = progress.read_progress().quiz_points(self.quiz.lesson)
        return sum(
            max(kept.get(question.name, 0.0), answer.points if answer else 0.0)
            for question, answer in zip(self.quiz.questions, self.answers, strict=True)
        )

    def verdict(self) -> Verdict:
        """This pass as the grader's value; the exercise is called ``"<lesson>/quiz"``."""
        passed = sum(answer is not None and answer.passed for answer in self.answers)
        count, maximum = len(self.quiz.questions), self.quiz.max_points
        if passed == count:
            status, message = Status.PASSED, f"All {count} questions are answered right."
        elif any(self.answers):
            status, message = Status.INCORRECT, f"{passed} of {count} questions are answered right."
        else:
            status, message = Status.NOT_ATTEMPTED, "No question has been answered."
        name = f"{self.quiz.lesson}/quiz"
        return Verdict(name, status, self.points, maximum, message, num_passed=passed, num_cases=count)
