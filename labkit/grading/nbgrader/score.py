"""Points of an answer, in the form that nbgrader understands."""

from __future__ import annotations

import atexit
import functools

from labkit.errors import NotAvailableError
from labkit.grading.answers import attempt, cells_of_session
from labkit.grading.exercise import load_exercise
from labkit.grading.outcomes import Verdict
from labkit.grading.workers import Task, Worker


def score(name: str) -> float:
    """The points of the answer to an exercise in this notebook.

    It prints nothing, for nbgrader gives 0 to a cell that writes on stderr.

    Parameters
    ----------
    name : str
        ``"topic/name"``.

    Returns
    -------
    float
        All points, or a part of them: nbgrader takes the value of a cell as its points.

    Raises
    ------
    AssertionError
        No points: what was wrong. nbgrader gives 0 to a cell that raises.
    NotAvailableError
        Answers cannot be judged on this machine.
    """
    exercise = load_exercise(name)
    answer = attempt(cells_of_session(), exercise)
    verdict = _judge(Task(name, exercise.folder.parents[1], answer.source))
    if verdict.points <= 0:
        text = verdict.text()
        raise AssertionError(f"{text}\n{answer.problem}" if answer.problem else text)
    return float(verdict.points)


@functools.cache
def _worker() -> Worker:
    """The process that judges for this kernel; it ends with the kernel."""
    worker = Worker()
    atexit.register(worker.close)
    return worker


def _judge(task: Task) -> Verdict:
    worker = _worker()
    for tries in (1, 2):
        worker.begin(task, tries)
        if worker.is_ready or worker.hear_ready():
            result, is_final = worker.result()
        else:
            result, is_final = worker.give_up("the process that judges did not start")
        if is_final:
            return result
    raise NotAvailableError(f"{task.exercise} could not be judged ({result}). Run labkit doctor.")
