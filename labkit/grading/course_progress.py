"""Progress through the whole course, lesson by lesson; and the command ``labkit progress``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from labkit.errors import NotAvailableError, UsageError
from labkit.grading.cards import load_flashcards
from labkit.grading.course import LESSONS, Lesson
from labkit.grading.exercise import exercise_names
from labkit.grading.progress import Progress, progress_path, read_progress, reset_progress
from labkit.grading.quiz_file import load_quiz


@dataclass(frozen=True, slots=True)
class LessonProgress:
    """How far somebody is in a lesson.

    Attributes
    ----------
    lesson : Lesson
    visited : bool
    quiz_points, max_quiz_points : float
    num_cards_known, num_cards : int
    num_exercises_passed, num_exercises : int
    exercise_points : float
        The best of each exercise.
    """

    lesson: Lesson
    visited: bool = False
    quiz_points: float = 0.0
    max_quiz_points: float = 0.0
    num_cards_known: int = 0
    num_cards: int = 0
    num_exercises_passed: int = 0
    num_exercises: int = 0
    exercise_points: float = 0.0


def course_progress(progress: Progress | None = None) -> tuple[LessonProgress, ...]:
    """All lessons of the course with what is kept about each; lessons that are still to be written are empty.

    Questions, cards and exercises that there are no more count no more.
    """
    progress = read_progress() if progress is None else progress
    try:
        names = exercise_names()
    except UsageError:  # the package alone, without the course's folder: those that were tried
        names = sorted(progress.exercises())
    return tuple(_of_lesson(lesson, progress, names) if lesson.exists else LessonProgress(lesson) for lesson in LESSONS)


def _of_lesson(lesson: Lesson, progress: Progress, exercises: list[str]) -> LessonProgress:
    quiz, cards = load_quiz(lesson.name), load_flashcards(lesson.name)
    points, boxes, kept = progress.quiz_points(lesson.name), progress.boxes(lesson.name), progress.exercises()
    own = [name for name in exercises if name.partition("/")[0] == lesson.topic]
    tried = [kept[name] for name in own if name in kept]
    reached = sum(min(question.points, max(0.0, points.get(question.name, 0.0))) for question in quiz.questions)
    return LessonProgress(
        lesson, progress.visited(lesson.name), reached, quiz.max_points,
        sum(boxes.get(card.term, 0) > 0 for card in cards), len(cards),
        sum(entry["passed"] for entry in tried), len(own), sum(entry["points"] for entry in tried),
    )


def progress_text(lessons: tuple[LessonProgress, ...]) -> str:
    """The course as lines of text."""
    lines = [f"{'':26} {'quiz':>12} {'flashcards':>12} {'exercises':>12}"]
    for one in lessons:
        if not one.lesson.exists:
            lines.append(f"{one.lesson!s:26} {'to come':>12}")
            continue
        exercises = f"{one.num_exercises_passed} of {one.num_exercises}" if one.num_exercises else "-"
        lines.append(
            f"{one.lesson!s:26} {f'{one.quiz_points:.3g} of {one.max_quiz_points:g}':>12} "
            f"{f'{one.num_cards_known} of {one.num_cards}':>12} {exercises:>12}"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """``labkit progress [--reset]``: how far you are in the course; ``--reset`` begins anew."""
    parser = argparse.ArgumentParser(prog="labkit progress", description=main.__doc__)
    parser.add_argument("--reset", action="store_true", help="set what is kept aside and begin anew")
    if parser.parse_args(argv).reset:
        try:
            aside = reset_progress()
        except OSError as error:
            raise NotAvailableError(f"the file of your progress cannot be moved: {error}.") from None
        print(f"Begun anew; what was kept is now {aside}." if aside else "There was nothing to reset.")
        return 0
    print(progress_text(course_progress()))
    print(f"\nkept in {progress_path()}")
    return 0
