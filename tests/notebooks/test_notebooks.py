"""Every lesson is committed without outputs and runs from top to bottom."""

import os
import re
import shutil
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
BROWSER = Path(__file__).parents[1] / "browser"
NEEDS_GCC = {"03_threads"}


def run_in_lab() -> set[str]:
    """Lessons that tests/browser runs: there the same is checked of their outputs, in the Lab that students have."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        return set()
    return {
        name for path in BROWSER.glob("test_*.py")
        for name in re.findall(r'^    page = run_lesson\(lab, "(\w+)"\)', path.read_text(), re.M)
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_clean(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert notebook.metadata.kernelspec.name == "python3"


def test_what_it_says_to_read_is_known_in_the_notebook():
    """A name of a ``%%mpi`` cell is known to the ranks only."""
    cells = nbformat.read(FOLDER / "04_point_to_point.ipynb", 4).cells
    local = "\n".join(c.source for c in cells if c.cell_type == "code" and not c.source.startswith("%%"))
    named = {name for c in cells if c.cell_type == "markdown" for name in re.findall(r"`(\w+)\?\?`", c.source)}
    assert named and all(re.search(rf"import\b.*\b{name}\b", local) for name in named)


@pytest.mark.mpi
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_without_a_warning(path, tmp_path, monkeypatch):
    if path.stem in run_in_lab():
        return
    if path.stem in NEEDS_GCC and shutil.which("gcc") is None:
        pytest.skip("the C cells of this lesson need a compiler: 'apt install gcc'")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises at an error in a cell that is not meant to have one
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        meant_to_fail = "raises-exception" in cell.metadata.get("tags", [])
        kinds = [output.output_type for output in cell.outputs]
        assert ("error" in kinds) == meant_to_fail, cell.source
        assert not [o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stderr"], cell.source


def test_there_are_lessons():
    assert [path.name for path in NOTEBOOKS][0] == "00_start_here.ipynb"
