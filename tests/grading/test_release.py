"""What students get: everything they need, and no line of what instructors keep."""

from pathlib import Path

import nbformat
import pytest

from labkit.cli import main
from labkit.errors import UsageError
from labkit.grading.exercise import exercise_names, load_exercise
from labkit.grading.release import MARK, release

ROOT = Path(__file__).parents[2]
PUBLIC = ("statement.md", "starter.py", "exercise.py")


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def secret_lines(folder):
    """Lines of references, wrong answers and hidden cases that no public text contains (hints do), with their files."""
    texts = [path.read_text() for name in PUBLIC for path in folder.glob(f"*/*/{name}")]
    texts += [path.read_text() for path in (ROOT / "labkit").rglob("*.py")]
    public = "\n".join(texts)
    found = {}
    for pattern in ("*/*/reference.py", "*/*/hidden.py", "*/*/wrong/*.py"):
        for path in folder.glob(pattern):
            lines = {line.strip() for line in path.read_text().splitlines()}
            found |= {line: path for line in lines if len(line) > 20 and line not in public}
    return found


def assert_no_secret(out, lines):
    assert lines
    for name, path in files(out).items():
        assert not {"reference.py", "hidden.py", "wrong"} & set(Path(name).parts), name
        text = path.read_text(errors="replace")
        for line, source in lines.items():
            assert line not in text, f"{name} holds a line of {source}: {line}"


def test_the_tree_of_a_course(course, tmp_path):
    (course.parent / "README.md").write_text("read me")
    (course.parent / "solutions.md").write_text("the instructor's")
    (course / "numbers" / "square" / "__pycache__").mkdir()
    (course / "numbers" / "square" / "__pycache__" / "reference.cpython-311.pyc").write_bytes(b"x")
    (course / "numbers" / "numbers.ipynb").write_text("the instructor has solved it here")
    assert release(tmp_path / "out", course) == 9
    assert set(files(tmp_path / "out")) == {
        "README.md", MARK, "exercises/numbers/numbers.ipynb", "exercises/numbers/order.txt",
        *(f"exercises/numbers/{name}/{file}" for name in ("square", "double") for file in PUBLIC),
    }
    assert_no_secret(tmp_path / "out", secret_lines(course))
    nbformat.validate(nbformat.read(tmp_path / "out" / "exercises" / "numbers" / "numbers.ipynb", 4))
    assert len(load_exercise("numbers/square", tmp_path / "out" / "exercises").all_cases()) == 3
    assert len(load_exercise("numbers/square", course).all_cases()) == 4


@pytest.mark.skipif(not (ROOT / "exercises").is_dir(), reason="this tree has no exercises")
def test_the_tree_of_this_course(tmp_path):
    release(tmp_path / "out", ROOT / "exercises")
    assert_no_secret(tmp_path / "out" / "exercises", secret_lines(ROOT / "exercises"))
    assert exercise_names(tmp_path / "out" / "exercises") == exercise_names(ROOT / "exercises")
    found = set(files(tmp_path / "out"))
    assert {"Makefile", "pyproject.toml", "labkit/cli.py", "notebooks/00_start_here.ipynb", "tools/install.py"} <= found
    assert not [name for name in found if name.startswith(("tests/", "benchmarks/", ".git/"))]


def test_an_earlier_release_is_replaced_and_nothing_else(course, tmp_path):
    out = tmp_path / "out"
    release(out, course)
    (out / "notes.txt").write_text("mine")
    (out / MARK).write_text((out / MARK).read_text().replace("[", '["../precious.txt",', 1))
    (tmp_path / "precious.txt").write_text("keep")
    (course / "numbers" / "square" / "statement.md").unlink()
    (course / "numbers" / "square" / "statement.md").write_text("# New\n\nwords\n")
    (course / "numbers" / "order.txt").unlink()
    release(out, course)
    assert "exercises/numbers/order.txt" not in files(out)
    assert (out / "exercises/numbers/square/statement.md").read_text() == "# New\n\nwords\n"
    assert (out / "notes.txt").read_text() == "mine" and (tmp_path / "precious.txt").exists()


def test_other_folders_are_refused(course, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    for out, words in ((tmp_path / "full", "is not empty"), (tmp_path / "full" / "thesis.txt", "is a file"), (course / "out", "is inside"), (course, "is inside")):
        assert main(["release", str(out), "--exercises", str(course)]) == 2
        assert words in capsys.readouterr().err
    assert (tmp_path / "full" / "thesis.txt").read_text() == "years of work"
    assert main(["release", "--exercises", str(course)]) == 2
    assert main(["release", str(tmp_path / "x"), "--exercises", str(tmp_path)]) == 2


def test_an_exercise_that_needs_its_reference_is_named(course, tmp_path):
    path = course / "numbers" / "double" / "exercise.py"
    path.write_text(path.read_text().replace("def cases():\n", "def cases():\n    import pathlib\n    pathlib.Path(__file__).with_name('reference.py').read_text()\n"))
    with pytest.raises(UsageError, match="numbers/double does not work in the students' tree"):
        release(tmp_path / "out", course)
