"""Notebooks of a class, judged in parallel, become the rows of a score sheet.

::

    files -> students -> cells -> answers -> tasks -> verdicts -> rows -> sheets, reports
             submissions.py       answers.py  workers.py, journal.py     sheet.py, report.py
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading.answers import SubmissionError, attempt, notebook_cells
from labkit.grading.exercise import Exercise, exercise_names, load_exercise
from labkit.grading.journal import Journal, answer_key, exercise_digest
from labkit.grading.outcomes import Verdict
from labkit.grading.sheet import NOT_HANDED_IN, NOT_JUDGED, UNREADABLE, Row
from labkit.grading.submissions import Submission, topics_of
from labkit.grading.workers import Task, in_processes

MAX_SOURCE = 50_000  # characters of an answer that a report shows
Run = Callable[[Iterable[Task]], Iterator[tuple[Task, Verdict | str]]]


@dataclass(frozen=True)
class Course:
    """The exercises: by topic, in order, and the digest of each."""

    folder: Path
    topics: dict[str, list[Exercise]]
    digests: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Course:
        """Of a folder of exercises."""
        topics: dict[str, list[Exercise]] = {}
        for name in exercise_names(folder):
            topics.setdefault(name.split("/")[0], []).append(load_exercise(name, folder))
        if not topics:
            raise UsageError(f"there are no exercises in {folder}: name the folder with --exercises.")
        return cls(folder, topics, {e.name: exercise_digest(e) for own in topics.values() for e in own})

    @property
    def functions(self) -> dict[str, list[str]]:
        """Functions asked for, by topic."""
        return {topic: [exercise.function for exercise in own] for topic, own in self.topics.items()}


@dataclass(frozen=True)
class Question:
    """A row to be: everything but the verdict."""

    row: Row
    key: str = ""  # of the verdict; "" if none is needed
    note: str = ""
    missing: bool = False  # there is no answer


def grade(
    submissions: Sequence[Submission], course: Course, *, run: Run = in_processes, journal: Journal | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """Judge all answers.

    Parameters
    ----------
    submissions : sequence of Submission
        From :func:`~labkit.grading.submissions.find_submissions`, so by student.
    course : Course
    run : callable
        ``run(tasks)`` yields (task, verdict) or (task, why there is none), in any order.
    journal : Journal, optional
        Has verdicts of before, and gets the new ones.
    progress : callable, optional
        ``progress(students read, answers judged)``.

    Returns
    -------
    list of Row
        By student, topic and exercise, whatever the order in which they were judged.
    """
    journal = journal or Journal()
    asked: list[Question] = []
    failed: dict[str, str] = {}
    num_students = num_judged = 0

    def tasks() -> Iterator[Task]:
        nonlocal num_students
        begun = set()
        for _, own in groupby(submissions, key=lambda submission: submission.student):
            for question, source in _questions(list(own), course):
                asked.append(question)
                key = question.key
                if key and key not in journal.verdicts and key not in begun:
                    begun.add(key)
                    yield Task(question.row.exercise, course.folder, source, key)
            num_students += 1
            if progress is not None:
                progress(num_students, num_judged)

    for task, result in run(tasks()):
        if isinstance(result, Verdict):
            journal.add(task.key, result)
        else:
            failed[task.key] = result
        num_judged += 1
        if progress is not None:
            progress(num_students, num_judged)
    rows = [_row(question, journal.verdicts.get(question.key), failed.get(question.key, "")) for question in asked]
    students, topics = list(dict.fromkeys(row.student for row in rows)), ["", *course.topics]
    return sorted([*rows, *_not_handed_in(rows, course)], key=lambda row: (students.index(row.student), topics.index(row.topic)))


def _questions(own: list[Submission], course: Course) -> Iterator[tuple[Question, str | None]]:
    """The questions of one student, with the answers: all exercises of the topics of the files."""
    files: dict[str, list[tuple[Submission, list[str] | None, str]]] = {}
    for submission in own:
        try:
            cells, problem = notebook_cells(submission.path), ""
        except SubmissionError as error:
            cells, problem = None, str(error)
        except Exception as error:  # one bad file never stops the rest
            cells, problem = None, f"{submission.path.name} cannot be read ({type(error).__name__}: {error})"
        for topic in topics_of(submission, cells or [], course.functions) or [""]:
            files.setdefault(topic, []).append((submission, cells, problem))
    for topic, found in files.items():
        if topic:
            yield from _of_topic(topic, found, course)
            continue
        for submission, _, problem in found:
            message = problem or f"{submission.path.name} answers no exercise: none of their functions is defined in it"
            yield Question(Row(submission.student, "", "", 0.0, 0.0, UNREADABLE, message=message, file=_shown(submission.path))), None


def _of_topic(topic: str, found: list[tuple], course: Course) -> Iterator[tuple[Question, str | None]]:
    """The questions of a topic, from the newest file that can be read."""
    submission, cells, problem = max(found, key=lambda file: (file[1] is not None, _modified(file[0].path), str(file[0].path)))
    note = ""
    if len(found) > 1:
        others = ", ".join(file[0].path.name for file in found if file[0] is not submission)
        note = f"of {len(found)} files {submission.path.name} was taken, the newest that can be read (not {others})"
    functions = [name for names in course.functions.values() for name in names]
    for exercise in course.topics[topic]:
        row = functools.partial(Row, submission.student, topic, exercise.name, 0.0, exercise.points, file=_shown(submission.path))
        if cells is None:
            yield Question(row(status=UNREADABLE, message=problem), note=note), None
            continue
        try:
            answer = attempt(cells, exercise, others=functions)
        except Exception as error:  # one odd notebook never stops the rest
            message = f"its code cannot be followed ({type(error).__name__})"
            yield Question(row(status=UNREADABLE, message=message), note=note), None
            continue
        notes = "; ".join(filter(None, [answer.problem.rstrip("."), note]))
        key = answer_key(exercise, course.digests[exercise.name], answer.source)
        shown = answer.source[:MAX_SOURCE] if answer.source else None
        yield Question(row(status=NOT_JUDGED, source=shown), key, notes, answer.source is None), answer.source


def _row(question: Question, verdict: Verdict | None, failure: str) -> Row:
    """The row of a question whose answer has been judged, or could not be."""
    row = question.row
    if verdict is None:
        message = "; ".join(filter(None, [row.message or failure, question.note]))
        return replace(row, message=message)
    missing = question.missing and question.note  # which says more than that there is none
    message = question.note if missing else "; ".join(filter(None, [verdict.message.rstrip("."), question.note]))
    return replace(
        row, points=verdict.points, status=str(verdict.status), seconds=verdict.seconds, message=message,
        sandbox=verdict.sandbox, verdict=verdict,
    )


def _not_handed_in(rows: list[Row], course: Course) -> Iterator[Row]:
    """Topics that others have handed in, so that every total is out of the same points."""
    handed_in = {(row.student, row.topic) for row in rows}
    topics = [topic for topic in course.topics if any(row.topic == topic for row in rows)]
    for student in dict.fromkeys(row.student for row in rows):
        for topic in topics:
            if (student, topic) not in handed_in:
                for exercise in course.topics[topic]:
                    yield Row(student, topic, exercise.name, 0.0, exercise.points, NOT_HANDED_IN)


def _shown(path: Path) -> str:
    """A path as it is best read: from here, if it is below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
