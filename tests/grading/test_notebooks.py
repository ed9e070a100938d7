"""Notebooks built from folders."""

import nbformat
import pytest

from labkit.cli import main
from labkit.grading.notebooks import cell_id, notebook_path, notebook_text, topic_notebook


def test_the_cells_of_a_topic(course):
    built = topic_notebook("numbers", course)
    nbformat.validate(built)
    assert [cell.source for cell in built.cells if cell.cell_type == "code"] == [
        "from labkit import check",
        'def square(n):\n    """The square of a number."""\n    raise NotImplementedError',
        'check("numbers/square", square)',
        'def double(n):\n    """Twice a number."""\n    raise NotImplementedError',
        'check("numbers/double", double)',
    ]
    assert built.cells[0].source == "# Numbers"
    assert built.cells[2].source == (
        "## 1. The square of a number (3 points)\n\nWrite `square(n)`.\n\n### Example\n\n```\n# not a heading\n```"
    )
    assert built.cells[3].metadata == {"labkit": {"exercise": "numbers/square", "role": "starter"}}


def test_topic_text_and_stable_bytes(course):
    (course / "numbers" / "topic.md").write_text("# On numbers\n\nRead this.\n")
    one, two = (notebook_text(topic_notebook("numbers", course)) for _ in range(2))
    assert one == two
    assert nbformat.reads(one, 4).cells[0].source == "# On numbers\n\nRead this."


def test_build_then_check(course, capsys):
    path = notebook_path("numbers", course)
    assert main(["exercises", "check", "--exercises", str(course)]) == 1
    assert main(["exercises", "build", "--exercises", str(course)]) == 0
    assert main(["exercises", "check", "--exercises", str(course)]) == 0
    path.write_text(path.read_text().replace("NotImplementedError", "ValueError"))
    capsys.readouterr()
    assert main(["exercises", "check", "--exercises", str(course)]) == 1
    assert "labkit exercises build" in capsys.readouterr().out


def test_no_such_folder(tmp_path, capsys):
    assert main(["exercises", "check", "--exercises", str(tmp_path / "none")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a/b", "a" * 80 + "/b", "täglich/übung"])
def test_ids_are_valid(name):
    cell = nbformat.v4.new_code_cell("", id=cell_id(name, "starter"))
    nbformat.validate(nbformat.v4.new_notebook(cells=[cell]))
    assert len(cell.id) <= 64


def test_long_ids_stay_different():
    assert cell_id("a" * 80 + "/b", "starter") != cell_id("a" * 80 + "/c", "starter")
