"""Imports: downwards only, and light where they must be."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("mpi4py", "torch", "numba", "plotly", "ipywidgets", "ipyparallel", "IPython", "psutil")


def modules_after(statement: str) -> set[str]:
    program = f"import sys\n{statement}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import labkit", "import labkit.errors", "import labkit.comm.deadlock", "import labkit.trace.timeline", "import labkit.cli"],
)
def test_import_is_light(statement):
    assert modules_after(statement).isdisjoint(HEAVY)


def test_views_bring_plotly_and_nothing_that_runs():
    loaded = modules_after("import labkit.views.timeline, labkit.views.wait_graph, labkit.views.roofline, labkit.views.machine")
    assert "plotly" in loaded
    assert loaded.isdisjoint({"mpi4py", "torch", "ipywidgets", "ipyparallel", "numba"})


def test_import_contracts_hold():
    program = Path(sys.executable).with_name("lint-imports")
    command = str(program) if program.exists() else shutil.which("lint-imports")
    done = subprocess.run([command, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout
