"""``labkit release``: what students get, without references, wrong answers and hidden cases; or an nbgrader course."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat

from labkit.errors import UsageError
from labkit.grading.exercise import Exercise, exercise_names, exercises_folder, load_exercise
from labkit.grading.notebooks import notebook_path, notebook_text, topic_notebook, topics

INCLUDED = (
    "labkit", "notebooks", "docs", "tools", "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml",
    "constraints.txt", "environment.yml",
)
LEFT_OUT = ("__pycache__",)  # and whatever begins with a dot
INSTRUCTORS = ("reference.py", "hidden.py", "wrong")  # of an exercise
MARK = ".labkit-release.json"  # in what was written: the list of its files


def release(out: Path, folder: Path) -> int:
    """Write the students' tree.

    Parameters
    ----------
    out : Path
        A new or empty folder, or an earlier release, whose files are replaced.
    folder : Path
        Of all exercises; what stands beside it goes too, as far as students need it.

    Returns
    -------
    int
        How many files.

    Raises
    ------
    UsageError
        ``out`` is something else, or an exercise does not work without what is left out.
    """
    root = folder.parent
    files = {path.relative_to(root).as_posix(): path for name in INCLUDED for path in _files(root / name)}
    files |= {f"exercises/{name}": path for name, path in _exercise_files(folder, INSTRUCTORS).items()}
    texts = {
        f"exercises/{notebook_path(topic, folder).relative_to(folder).as_posix()}": notebook_text(topic_notebook(topic, folder))
        for topic in topics(folder)
    }
    for name, path in files.items():
        if path.suffix == ".ipynb":
            texts[name] = _clean(path)
    _write(out, files, texts, root)
    _check_exercises(out / "exercises", folder)
    return len(files | texts)


def release_course(out: Path, folder: Path) -> int:
    """Write an nbgrader course; see :mod:`labkit.grading.nbgrader`. Arguments, result and errors as of :func:`release`."""
    from labkit.grading.nbgrader.course import course_files

    files = {f"exercises/{name}": path for name, path in _exercise_files(folder, ("reference.py", "wrong")).items()}
    texts = course_files(topics(folder), folder, out.resolve().name)
    _write(out, files, texts, folder.parent)
    return len(files | texts)


def _files(path: Path) -> Iterator[Path]:
    """A file, or those in a folder and below."""
    if path.name.startswith(".") or path.name in LEFT_OUT or path.is_symlink():
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for inner in sorted(path.iterdir()):
            yield from _files(inner)


def _exercise_files(folder: Path, left_out: tuple[str, ...]) -> dict[str, Path]:
    """Files of topics and exercises by path, but for what instructors keep, and for notebooks, which are built anew."""
    found = {}
    for topic in topics(folder):
        for path in _files(folder / topic):
            relative = path.relative_to(folder)
            if path.suffix != ".ipynb" and not set(relative.parts[2:]) & set(left_out):
                found[relative.as_posix()] = path
    return found


def _clean(path: Path) -> str:
    """A notebook without outputs."""
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.writes(notebook) + "\n"


def _write(out: Path, files: dict[str, Path], texts: dict[str, str], root: Path) -> None:
    """Write a tree into a new or empty folder, or in the place of an earlier release."""
    out = out.absolute()
    inside = [name for name in (*INCLUDED, "exercises") if out.resolve().is_relative_to((root / name).resolve())]
    if inside:
        raise UsageError(f"{out} is inside {root / inside[0]}, which is released: name a folder elsewhere.")
    _remove_earlier(out)
    for name in sorted(files | texts):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in texts:
            path.write_text(texts[name], encoding="utf-8")
        else:
            shutil.copyfile(files[name], path)
    (out / MARK).write_text(json.dumps(sorted(files | texts), indent=0) + "\n", encoding="utf-8")


def _remove_earlier(out: Path) -> None:
    """Remove the files of an earlier release, and nothing else."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder.")
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        names = json.loads((out / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{out} is not empty and is no earlier release: name another folder, or empty it.") from None
    for name in names:
        path = (out / name).resolve()
        if path.is_relative_to(out.resolve()) and path.is_file():
            path.unlink()


def _check_exercises(released: Path, folder: Path) -> None:
    """Every exercise must have its cases without the instructor's files."""
    for name in exercise_names(folder):
        try:
            found: Exercise = load_exercise(name, released)
            found.all_cases()
        except Exception as error:
            raise UsageError(
                f"exercise {name} does not work in the students' tree ({type(error).__name__}: {error}): "
                f"its cases must not need {', '.join(INSTRUCTORS)}."
            ) from error


def main(argv: list[str] | None = None) -> int:
    """Write the students' tree to OUT, without references, wrong answers and hidden cases; or an nbgrader course."""
    parser = argparse.ArgumentParser(prog="labkit release", description=main.__doc__)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT", help="a new folder, or an earlier release")
    parser.add_argument("--nbgrader", type=Path, metavar="COURSE", help="write an nbgrader course there")
    parser.add_argument("--exercises", type=Path, metavar="DIR", help="the folder of exercises")
    options = parser.parse_args(argv)
    if options.out is None and options.nbgrader is None:
        raise UsageError("name a folder for the students' tree, or --nbgrader COURSE.")
    folder = options.exercises.resolve() if options.exercises else exercises_folder()
    if not folder.is_dir() or not topics(folder):
        raise UsageError(f"there are no exercises in {folder}: name the folder with --exercises.")
    if options.out is not None:
        print(f"wrote {options.out}: {release(options.out, folder)} files for students")
    if options.nbgrader is not None:
        print(f"wrote {options.nbgrader}: {release_course(options.nbgrader, folder)} files of an nbgrader course")
    return 0
