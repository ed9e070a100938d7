"""The score sheet: rows, totals, and writing them as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.grading.outcomes import Status, Verdict

COLUMNS = ("student", "topic", "exercise", "points", "max", "status", "seconds", "message", "sandbox", "file")
UNREADABLE = "unreadable"
NOT_HANDED_IN = "not handed in"
NOT_JUDGED = "not judged"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
MAX_MESSAGE = 500


@dataclass(frozen=True)
class Row:
    """A student's answer to a question.

    Attributes
    ----------
    student, topic, exercise : str
        ``exercise`` is ``"topic/name"``, or "" for a file of which no more is known.
    points, max : float
    status : str
        One of :class:`~labkit.grading.outcomes.Status`, or ``"unreadable"`` (the file), ``"not handed in"`` (the
        topic), ``"not judged"`` (trouble of this machine: run it again).
    seconds : float
        Of judging.
    message : str
    sandbox : str
        What confined the answer.
    file : str
        That was taken.
    source : str or None
        The answer, for the report.
    verdict : Verdict or None
    """

    student: str
    topic: str
    exercise: str
    points: float
    max: float
    status: str
    seconds: float = 0.0
    message: str = ""
    sandbox: str = ""
    file: str = ""
    source: str | None = None
    verdict: Verdict | None = None

    def cells(self) -> list:
        """The values of a line of the sheet."""
        return [getattr(self, name) for name in COLUMNS]


@dataclass(frozen=True)
class Total:
    """All of a student's points.

    Attributes
    ----------
    student : str
    points, max : float
    num_passed, num_questions : int
    by_topic : dict
        Points.
    """

    student: str
    points: float
    max: float
    num_passed: int
    num_questions: int
    by_topic: dict[str, float]

    @property
    def percent(self) -> float:
        """Points in percent of all, to a tenth."""
        return round(100 * self.points / self.max, 1) if self.max else 0.0


def totals(rows: Iterable[Row]) -> list[Total]:
    """A total for each student, in the order of the rows."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.student, []).append(row)
    result = []
    for student, own in found.items():
        topics = dict.fromkeys(row.topic for row in own if row.topic)
        result.append(Total(
            student, sum(row.points for row in own), sum(row.max for row in own),
            sum(row.status == Status.PASSED for row in own), sum(bool(row.exercise) for row in own),
            {topic: sum(row.points for row in own if row.topic == topic) for topic in topics},
        ))
    return result


def safe_cell(value) -> str:
    """A value of the sheet: no text that a spreadsheet would run as a formula, no control characters.

    Examples
    --------
    >>> safe_cell("=1+1"), safe_cell("two\\nlines"), safe_cell(2.50), safe_cell(-1.0)
    ("'=1+1", 'two lines', '2.5', '-1')
    """
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return str(value)
    text = str(value).encode(errors="replace").decode()
    mark = "'" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else ""
    return mark + CONTROL.sub(" ", text).strip()


def rows_csv(rows: Iterable[Row]) -> str:
    """The sheet, a line a student and question."""
    return _csv([COLUMNS, *([*row.cells()] for row in rows)])


def totals_csv(found: Sequence[Total]) -> str:
    """The sheet of totals, a line a student."""
    topics = list(dict.fromkeys(topic for total in found for topic in total.by_topic))
    lines = [["student", "points", "max", "percent", "passed", "questions", *topics]]
    for total in found:
        points = [total.by_topic.get(topic, 0.0) for topic in topics]
        lines.append([total.student, total.points, total.max, total.percent, total.num_passed, total.num_questions, *points])
    return _csv(lines)


def rows_json(rows: Sequence[Row]) -> str:
    """All of it for other programs: rows with the whole verdict but the timeline, and totals."""
    listed = [
        dict(zip(COLUMNS, row.cells(), strict=True))
        | {"verdict": row.verdict.to_dict(timeline=False) if row.verdict else None}
        for row in rows
    ]
    sums = [
        {"student": t.student, "points": t.points, "max": t.max, "percent": t.percent, "passed": t.num_passed,
         "questions": t.num_questions, "topics": t.by_topic}
        for t in totals(rows)
    ]
    return json.dumps({"rows": listed, "totals": sums}, indent=1) + "\n"


def totals_path(out: Path) -> Path:
    """Where the totals go: ``scores_totals.csv`` for ``scores.csv``."""
    return out.with_name(f"{out.stem}_totals{out.suffix}")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="", errors="replace") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _csv(lines: Iterable[Sequence]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        writer.writerow([safe_cell(value) for value in line])
    return text.getvalue()
