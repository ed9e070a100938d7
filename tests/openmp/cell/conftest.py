"""What the tests of C cells need: compilers, and a short way to run a cell."""

import shutil

import pytest

from labkit.errors import NotAvailableError
from labkit.openmp.cell.compilers import find_race_tools
from labkit.openmp.cell.run import CellOptions, OpenmpCell


@pytest.fixture
def gcc():
    if shutil.which("gcc") is None:
        pytest.skip("There is no gcc here (Debian: apt install gcc libc6-dev), so no cell of C is compiled.")
    return "gcc"


@pytest.fixture
def gxx():
    if shutil.which("g++") is None:
        pytest.skip("There is no g++ here (Debian: apt install g++), so no cell of C++ is compiled.")
    return "g++"


@pytest.fixture
def race_tools():
    try:
        return find_race_tools(None, cxx=False)
    except NotAvailableError as error:
        pytest.skip(f"Races are not looked for here: {error}")


class Shown:
    """A cell that was prepared, and what it has shown."""

    def __init__(self, text, namespace=None, **options):
        self.parts = []
        options.setdefault("timeout_s", 60.0)  # nothing here takes longer; a test that waits is a test that fails
        self.cell = OpenmpCell(
            text, CellOptions(**options), namespace or {}, lambda stream, piece: self.parts.append((stream, piece))
        )

    def run(self):
        return self.cell.run()

    def text(self, stream="stdout"):
        return "".join(piece for name, piece in self.parts if name == stream)


@pytest.fixture
def prepare():
    return Shown


@pytest.fixture
def run_cell():
    return lambda text, namespace=None, **options: Shown(text, namespace, **options).run()
