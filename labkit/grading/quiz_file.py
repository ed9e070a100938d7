"""Questions from a file: ``labkit/lessons/<lesson>/quiz.toml``.

::

    [[question]]
    kind = "choice"                 # or "number", "order"
    name = "which-waits"            # progress is kept under this name
    text = "..."
    right = "..."                   # choice
    explanation = "..."             # shown after the right answer
    wrong = [{ text = "...", why = "..." }, ...]

    # number:  answer = 102, unit = "us", relative_tolerance = 0.01, hint = "...",
    #          wrong = [{ value = 100, why = "..." }, ...]
    # order:   steps = [{ text = "...", why = "it comes before the next, because ..." }, ..., { text = "..." }]
    # any:     points = 1
"""

from __future__ import annotations

import functools
import math
import tomllib
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading.course import find_lesson
from labkit.grading.quiz import Choice, Number, Order, Question, Quiz

TEXT, REAL, TABLES = "text", "a number", "a list of tables"
REQUIRED = {
    "choice": {"right": TEXT, "wrong": TABLES},
    "number": {"answer": REAL, "wrong": TABLES, "hint": TEXT},
    "order": {"steps": TABLES},
}
OPTIONAL = {"choice": {}, "number": {"unit": TEXT, "relative_tolerance": REAL, "absolute_tolerance": REAL}, "order": {}}
COMMON = {"kind": TEXT, "name": TEXT, "text": TEXT, "explanation": TEXT}


@functools.lru_cache(maxsize=64)
def load_quiz(lesson: str) -> Quiz:
    """The questions of a lesson.

    Raises
    ------
    UsageError
        No such lesson, or a file that breaks a rule; the message names file, question and rule.

    Examples
    --------
    >>> quiz = load_quiz("04_point_to_point")
    >>> 5 <= len(quiz.questions) <= 10
    True
    """
    found = find_lesson(lesson)
    return read_quiz(found.folder / "quiz.toml", lesson, str(found))


def read_quiz(path: Path, lesson: str, title: str) -> Quiz:
    """The questions of a file; raises as :func:`load_quiz`."""
    content = read_toml(path)
    if set(content) != {"question"} or not _is(content["question"], TABLES):
        found = sorted(content) or "nothing"
        raise UsageError(f"{path}: a quiz is a list of tables [[question]], but this file has {found}.")
    questions = tuple(_question(values, number, path, lesson) for number, values in enumerate(content["question"], 1))
    names = [question.name for question in questions]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"{path}: the name of a question is its own, but {', '.join(sorted(twice))} comes twice.")
    return Quiz(lesson, title, questions)


def read_toml(path: Path) -> dict:
    """A TOML file; UsageError, if it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def check_table(values: dict, required: dict, optional: dict, where: str) -> None:
    """Raise UsageError unless a table has the keys it must have, no unknown ones, and values of their kinds."""
    if missing := [key for key in required if key not in values]:
        raise UsageError(f"{where}: {', '.join(missing)} is missing; it needs {', '.join(required)}.")
    known = required | optional
    if unknown := [key for key in values if key not in known]:
        raise UsageError(f"{where}: {', '.join(unknown)} is unknown; it may have {', '.join(known)}.")
    for key, value in values.items():
        if not _is(value, known[key]):
            empty = "" if known[key] == REAL else ", and not empty"
            raise UsageError(f"{where}: {key} = {value!r} must be {known[key]}{empty}.")


def _is(value, kind: str) -> bool:
    if kind == TEXT:
        return isinstance(value, str) and bool(value.strip())
    if kind == REAL:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _question(values: dict, number: int, path: Path, lesson: str) -> Question:
    where = f"{path}, question {number} ({values.get('name', 'no name')})"
    kind = values.get("kind")
    if kind not in REQUIRED:
        raise UsageError(f"{where}: kind = {kind!r} is none of {', '.join(REQUIRED)}.")
    check_table(values, COMMON | REQUIRED[kind], OPTIONAL[kind] | {"points": REAL}, where)
    if values.get("points", 1) <= 0:
        raise UsageError(f"{where}: points = {values['points']} must be positive.")
    given = {key: value.strip() if isinstance(value, str) else value for key, value in values.items() if key != "kind"}
    given |= {"lesson": lesson, "points": float(values.get("points", 1))}
    return {"choice": _choice, "number": _number, "order": _order}[kind](given, where)


def _choice(given: dict, where: str) -> Choice:
    for number, item in enumerate(given["wrong"], 1):
        check_table(item, {"text": TEXT, "why": TEXT}, {}, f"{where}, wrong choice {number}")
    wrong = tuple((item["text"].strip(), item["why"].strip()) for item in given["wrong"])
    if len({given["right"], *(text for text, _ in wrong)}) != 1 + len(wrong):
        raise UsageError(f"{where}: the choices must differ.")
    return Choice(**given | {"wrong": wrong})


def _number(given: dict, where: str) -> Number:
    for number, item in enumerate(given["wrong"], 1):
        check_table(item, {"value": REAL, "why": TEXT}, {}, f"{where}, wrong value {number}")
    for key in ("relative_tolerance", "absolute_tolerance"):
        if given.get(key, 0) < 0:
            raise UsageError(f"{where}: {key} = {given[key]} must not be negative.")
    wrong = tuple((float(item["value"]), item["why"].strip()) for item in given["wrong"])
    question = Number(**given | {"wrong": wrong, "answer": float(given["answer"])})
    if right := [slip for slip, _ in wrong if question.agrees(slip, question.answer)]:
        raise UsageError(f"{where}: the wrong value {right[0]:g} is right within the tolerance of {question.answer:g}.")
    return question


def _order(given: dict, where: str) -> Order:
    steps = given.pop("steps")
    if len(steps) < 3:
        raise UsageError(f"{where}: {len(steps)} steps are too few to be put in order; write 3 or more.")
    for number, item in enumerate(steps, 1):
        last = number == len(steps)
        check_table(item, {"text": TEXT} | ({} if last else {"why": TEXT}), {}, f"{where}, step {number}")
    texts = tuple(item["text"].strip() for item in steps)
    if len(set(texts)) != len(texts):
        raise UsageError(f"{where}: the steps must differ.")
    return Order(**given, steps=texts, reasons=tuple(item["why"].strip() for item in steps[:-1]))
