"""Real MPI engines for the tests: one set for the whole session, restarted when a test ends it."""

import time

import pytest

from labkit.cluster.cell import run_cell
from labkit.cluster.engines import LocalEngines
from labkit.cluster.outcome import Listener


class Cells:
    """Runs cells on a session's engines and remembers what they printed."""

    def __init__(self):
        self.engines = LocalEngines()
        self.printed: dict[int, str] = {}
        self.seconds = 0.0

    def run(self, source, num_ranks=3, **options):
        """Run a cell on ``num_ranks`` ranks, starting them if need be."""
        if self.engines.ranks and self.engines.lost():
            self.engines.end_ranks()
        if self.engines.num_ranks != num_ranks:
            if self.engines.ranks:
                self.engines.end_ranks()
            self.engines.start(num_ranks)
        self.printed = {}

        def text(rank, stream, text):
            self.printed[rank] = self.printed.get(rank, "") + text

        started = time.monotonic()
        try:
            return run_cell(self.engines, source, listener=Listener(text=text), **options)
        finally:
            self.seconds = time.monotonic() - started

    def values(self, source, num_ranks=3, **options):
        """The text of the last expression, by rank."""
        outcome = self.run(source, num_ranks, **options)
        return [bundle["data"]["text/plain"] for _, bundle in sorted(outcome.results.items())]


@pytest.fixture(scope="session")
def session_cells():
    cells = Cells()
    yield cells
    cells.engines.stop()


@pytest.fixture
def cells(session_cells):
    """Engines that must still work after the test: the next cell is part of every test."""
    yield session_cells
    num_ranks = session_cells.engines.num_ranks or 3
    assert session_cells.values("comm.allreduce(1)", num_ranks) == [str(num_ranks)] * num_ranks


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """``tools(qstat="script")`` makes the only commands there are besides the system's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(**scripts):
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/bash\n{script}\n")
            (folder / name).chmod(0o755)

    return make
