"""The sheet as text: columns, sums, and cells that no spreadsheet runs."""

import csv
import io
import json
import os

import pytest

from labkit.grading.outcomes import Status, Verdict
from labkit.grading.sheet import (
    COLUMNS,
    Row,
    rows_csv,
    rows_json,
    safe_cell,
    totals,
    totals_csv,
    totals_path,
    write_whole,
)

ROWS = [
    Row("ann", "t", "t/a", 2.0, 2.0, "passed", 0.5, "fine", "limits", "ann.ipynb", verdict=Verdict("t/a", Status.PASSED, 2, 2, "fine", timeline={"x": 1})),
    Row("ann", "u", "u/b", 0.5, 3.0, "over budget", message='a, "b"\nc'),
    Row("=cmd()", "t", "t/a", 0.0, 2.0, "unreadable", message="\t@SUM(1)"),
]


def table(text):
    return list(csv.reader(io.StringIO(text)))


def test_rows():
    found = table(rows_csv(ROWS))
    assert found[0] == list(COLUMNS)
    assert found[1] == ["ann", "t", "t/a", "2", "2", "passed", "0.5", "fine", "limits", "ann.ipynb"]
    assert found[2][3:8] == ["0.5", "3", "over budget", "0", 'a, "b" c']


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", "  =1", "=HYPERLINK(\"x\")"])
def test_no_cell_begins_as_a_formula(text):
    assert safe_cell(text)[0] == "'"
    assert table(rows_csv([Row(text, text, text, 0.0, 0.0, text, message=text, file=text)]))[1][0][0] == "'"


def test_odd_characters():
    assert safe_cell("a\0b\x1b[31mc\ud800") == "a b [31mc?"


def test_totals():
    first, second = totals(ROWS)
    assert (first.student, first.points, first.max, first.percent, first.num_passed, first.num_questions) == ("ann", 2.5, 5.0, 50.0, 1, 2)
    assert first.by_topic == {"t": 2.0, "u": 0.5}
    assert table(totals_csv([first, second])) == [
        ["student", "points", "max", "percent", "passed", "questions", "t", "u"],
        ["ann", "2.5", "5", "50", "1", "2", "2", "0.5"], ["'=cmd()", "0", "2", "0", "0", "1", "0", "0"],
    ]


def test_json():
    found = json.loads(rows_json(ROWS))
    assert [row["points"] for row in found["rows"]] == [2.0, 0.5, 0.0]
    assert found["rows"][0]["verdict"]["message"] == "fine" and "timeline" not in found["rows"][0]["verdict"]
    assert found["totals"][0]["topics"] == {"t": 2.0, "u": 0.5}


def test_a_file_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"
    write_whole(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_whole(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["scores.csv"]
    assert totals_path(path).name == "scores_totals.csv"
