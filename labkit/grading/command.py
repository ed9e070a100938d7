"""``labkit grade``: the command line of grading."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import time
from collections import Counter
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading.exercise import exercises_folder
from labkit.grading.grade import Course, grade
from labkit.grading.journal import Journal
from labkit.grading.sheet import NOT_JUDGED, Row, rows_csv, rows_json, totals, totals_csv, totals_path, write_whole
from labkit.grading.submissions import find_submissions
from labkit.grading.workers import Worker, in_processes

REDRAW_S = 0.1


class ProgressLine:
    """One line on stderr that is replaced; nothing where stderr is no terminal."""

    def __init__(self, num_students: int):
        self.num_students = num_students
        self.shown = sys.stderr.isatty()
        self.last = 0.0

    def __call__(self, num_read: int, num_judged: int) -> None:
        now = time.monotonic()
        if self.shown and (now - self.last > REDRAW_S or num_read == self.num_students):
            self.last = now
            filled = round(30 * num_read / self.num_students)
            bar = "#" * filled + "." * (30 - filled)
            sys.stderr.write(f"\r[{bar}] {num_read} of {self.num_students} students, {num_judged} answers judged ")
            sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self.shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    """Grade notebooks: files, folders or patterns.

    Writes a row a student and question to --out, totals beside it, and what has been judged to a journal beside
    it: the same command goes on where it was stopped, and judges equal answers once. Without --out the verdicts are
    printed and nothing is written.
    """
    options = _parse(argv)
    journal_path = options.out.with_name(f"{options.out.name}.journal") if options.out else None
    first = Worker()
    with contextlib.closing(first):
        if options.fresh or journal_path is None or not journal_path.exists():  # there will be something to judge
            first.start()
        return _grade(options, journal_path, first)


def _grade(options: argparse.Namespace, journal_path: Path | None, first: Worker) -> int:
    """Judge what was handed in, and write what was asked for; the exit status."""
    folder = options.exercises.resolve() if options.exercises else exercises_folder()
    course = Course.load(folder)
    submissions = find_submissions(options.submissions, list(course.topics))
    for path in (options.out, options.json):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError(f"{path}: there is no folder {path.absolute().parent}: make it first.")
    line = ProgressLine(len({submission.student for submission in submissions}))
    with Journal(journal_path, fresh=options.fresh) as journal:
        try:
            rows = grade(
                submissions, course, journal=journal, progress=line,
                run=functools.partial(in_processes, jobs=options.jobs, first=first),
            )
        except KeyboardInterrupt:
            line.end()
            if journal_path is not None:
                print(f"stopped: {len(journal.verdicts)} verdicts are kept in {journal_path}; the same command goes on.", file=sys.stderr)
            return 130
        line.end()
        _write(rows, options)
    return 1 if any(row.status == NOT_JUDGED for row in rows) else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="labkit grade", description=main.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("submissions", nargs="+", metavar="SUBMISSION", help="a notebook, a folder or a pattern")
    parser.add_argument("--out", type=Path, metavar="FILE.csv", help="the score sheet; totals go to FILE_totals.csv")
    parser.add_argument("--json", type=Path, metavar="FILE.json", help="rows, whole verdicts and totals")
    parser.add_argument("--report", type=Path, metavar="DIR", help="a page for each student, and an overview of the class")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="answers judged side by side; default: the cores")
    parser.add_argument("--exercises", type=Path, metavar="DIR", help="the folder of exercises")
    parser.add_argument("--fresh", action="store_true", help="judge everything again")
    options = parser.parse_args(argv)
    if options.jobs < 0:
        raise UsageError(f"--jobs {options.jobs}: at least 1, or 0 for the number of cores.")
    options.jobs = options.jobs or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    if options.exercises and not options.exercises.is_dir():
        raise UsageError(f"--exercises {options.exercises}: there is no such folder.")
    return options


def _write(rows: list[Row], options: argparse.Namespace) -> None:
    """Sheets and reports, and a summary on stdout."""
    found = totals(rows)
    if options.out is None:
        for row in rows:
            print(row.verdict.text() if row.verdict else f"{row.status.upper()}  {row.exercise or row.file}\n{row.message}", end="\n\n")
    else:
        write_whole(options.out, rows_csv(rows))
        write_whole(totals_path(options.out), totals_csv(found))
    if options.json:
        write_whole(options.json, rows_json(rows))
    if options.report:
        from labkit.grading.report import write_reports

        write_reports(rows, options.report)
    counts = ", ".join(f"{number} {status}" for status, number in Counter(row.status for row in rows).most_common())
    print(f"{len(found)} student{'s' * (len(found) != 1)}, {len(rows)} rows: {counts}")
    if len(found) == 1:
        print(f"{found[0].points:g} of {found[0].max:g} points")
    for path in filter(None, (options.out, options.out and totals_path(options.out), options.json, options.report)):
        print(f"wrote {path}")
