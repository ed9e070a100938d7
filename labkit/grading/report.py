"""Pages for people: one for each student, and an overview of the class. They need no network.

What a student has written is shown as text: everything is escaped, and the page of a student may load and run nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading.sheet import Row, Total, totals, write_whole

STYLE = """
body { font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em;
  color: #22262b; background: #fff; }
h1 { margin-bottom: 0; } h2 { margin: 2em 0 0.3em; } pre { background: #f4f5f6; padding: 0.7em 1em; overflow-x: auto; }
table { border-collapse: collapse; } th, td { text-align: left; padding: 0.2em 1em 0.2em 0; vertical-align: top; }
td.number, th.number { text-align: right; } tr + tr { border-top: 1px solid #dde0e3; }
.status { display: inline-block; padding: 0 0.6em; border-radius: 0.7em; background: #e7e9eb; }
.passed { background: #bfe8da; } .over-budget { background: #cfe6f6; } .slip { border-left: 4px solid #d55e00; padding-left: 0.8em; }
.bar { display: inline-block; width: 8em; height: 0.7em; background: #e7e9eb; } .bar span { display: block; height: 100%; background: #009e73; }
@media (prefers-color-scheme: dark) { body { color: #e4e6e8; background: #15181b; } pre { background: #22262b; }
  .status, .bar { background: #3a4046; } .passed { background: #14563f; } .over-budget { background: #1d4a68; } a { color: #7db8e8; }
  tr + tr { border-color: #3a4046; } }
"""
NOTHING_RUNS = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"


def write_reports(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write ``index.html``, the overview, and a page for each student.

    Parameters
    ----------
    rows : sequence of Row
        Of all students.
    folder : Path
        Is made if it is not there; pages of an earlier report are replaced.

    Returns
    -------
    list of Path

    Raises
    ------
    UsageError
        The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--report {folder}: it cannot be made ({error.strerror}).") from None
    written = []
    for total in totals(rows):
        path = folder / page_name(total.student)
        write_whole(path, student_page(total, [row for row in rows if row.student == total.student]))
        written.append(path)
    write_whole(folder / "index.html", class_page(rows))
    return [folder / "index.html", *written]


def page_name(student: str) -> str:
    """The name of a student's page: plain letters, and a digest that keeps similar names apart.

    Examples
    --------
    >>> page_name("Jane Doe")
    'jane-doe-01332c.html'
    """
    plain = re.sub(r"[^a-z0-9]+", "-", student.lower()).strip("-")[:40]
    return f"{plain or 'student'}-{hashlib.sha256(student.encode(errors='replace')).hexdigest()[:6]}.html"


def student_page(total: Total, rows: Sequence[Row]) -> str:
    """The page of a student: every question with its feedback and the answer that was judged."""
    parts = [f"<h1>{escape(total.student)}</h1>", f"<p>{total.points:g} of {total.max:g} points</p>", "<table>"]
    for row in rows:
        parts.append(
            f"<tr><td><a href='#{_anchor(row)}'>{escape(row.exercise or row.file)}</a></td><td>{_status(row)}</td>"
            f"<td class='number'>{row.points:g} of {row.max:g}</td></tr>"
        )
    parts.append("</table>")
    parts += [_question(row) for row in rows]
    return _page(total.student, parts, NOTHING_RUNS)


def class_page(rows: Sequence[Row]) -> str:
    """The overview: figures by question, of the totals and of the slips, and a table of all students."""
    from labkit.views.scores import Score, questions_figure, slips_figure, totals_figure

    scores = [
        Score(row.student, row.exercise, row.points, row.max, row.status, row.verdict.slip if row.verdict else "") for row in rows
    ]
    parts = ["<h1>The class</h1>"]
    for number, figure in enumerate((questions_figure(scores), totals_figure(scores), slips_figure(scores))):
        # The library goes with the first figure, so that the page works without a network.
        parts.append(figure.to_html(full_html=False, include_plotlyjs=number == 0, div_id=f"figure-{number}"))
    parts.append("<h2>Students</h2><table><tr><th>student</th><th class='number'>points</th><th></th><th class='number'>passed</th></tr>")
    for total in totals(rows):
        parts.append(
            f"<tr><td><a href='{page_name(total.student)}'>{escape(total.student)}</a></td>"
            f"<td class='number'>{total.points:g} of {total.max:g}</td>"
            f"<td><span class='bar'><span style='width: {total.percent:g}%'></span></span></td>"
            f"<td class='number'>{total.num_passed} of {total.num_questions}</td></tr>"
        )
    sandboxes = sorted({row.sandbox for row in rows if row.sandbox})
    parts.append(f"</table><p>Answers ran confined by: {escape('; '.join(sandboxes) or 'nothing was run')}.</p>")
    return _page("The class", parts)


def _question(row: Row) -> str:
    """A question: status, feedback, answer."""
    parts = [
        f"<h2 id='{_anchor(row)}'>{escape(row.exercise or row.file)}</h2>",
        f"<p>{_status(row)} {row.points:g} of {row.max:g} points. {escape(row.message)}</p>",
    ]
    verdict = row.verdict
    if verdict is not None:
        facts = [
            ("smallest failing case", verdict.case), ("rank", "" if verdict.rank is None else str(verdict.rank)),
            ("expected", verdict.expected), ("actual", verdict.actual), ("cost", verdict.cost),
        ]
        lines = [f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in facts if text]
        parts += [f"<table>{''.join(lines)}</table>"] * bool(lines)
        parts += [f"<pre>{escape(verdict.details)}</pre>"] * bool(verdict.details)
        parts += [f"<p class='slip'>Likely slip: {escape(verdict.slip)}</p>"] * bool(verdict.slip)
    if row.source:
        parts.append(f"<details><summary>the answer, from {escape(row.file)}</summary><pre>{escape(row.source)}</pre></details>")
    return "\n".join(parts)


def _status(row: Row) -> str:
    return f"<span class='status {row.status.replace(' ', '-')}'>{escape(row.status)}</span>"


def _anchor(row: Row) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "-", row.exercise or row.file)


def _page(title: str, parts: Sequence[str], head: str = "") -> str:
    return (
        f"<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n{head}\n<title>{escape(title)}</title>\n"
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )
