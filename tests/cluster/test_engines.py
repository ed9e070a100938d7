"""Engines: started, ended, never left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from labkit.cluster.death import read_death_notes, words_for_exit
from labkit.cluster.engines import LocalEngines, check_num_ranks
from labkit.errors import NotAvailableError, UsageError

START_AND_SLEEP = """
import time
from labkit.cluster.engines import LocalEngines
engines = LocalEngines()
engines.start(2)
print(engines._directory, *(r.pid for r in engines.ranks), engines._cluster.controller.pid, flush=True)
{then}
"""


def gone(pids, within_s=30):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
        if not alive:
            return True
        time.sleep(0.2)
    return False


def start_in_process(then):
    process = subprocess.Popen(
        [sys.executable, "-c", START_AND_SLEEP.format(then=then)], stdout=subprocess.PIPE, text=True
    )
    directory, *pids = process.stdout.readline().split()
    return process, Path(directory), [int(pid) for pid in pids]


@pytest.mark.mpi
def test_nothing_is_left_when_the_notebook_is_killed():
    process, directory, pids = start_in_process("time.sleep(300)")
    assert len(pids) == 3 and all(psutil.pid_exists(pid) for pid in pids)
    tree = [p.pid for pid in pids for p in psutil.Process(pid).children(recursive=True)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert gone(pids + tree)
    assert not directory.exists()


@pytest.mark.mpi
def test_nothing_is_left_when_the_notebook_ends():
    process, directory, pids = start_in_process("")
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    assert gone(pids)
    assert not directory.exists()


@pytest.mark.mpi
def test_start_tells_its_progress_and_stop_can_be_repeated():
    said = []
    engines = LocalEngines()
    engines.start(1, said.append)
    assert [rank.rank for rank in engines.ranks] == [0]
    assert "MPICH" in engines.library or "Open MPI" in engines.library
    assert said[0].startswith("Starting 1 MPI ranks") and said[-1].startswith("1 MPI rank started in")
    mode = Path(engines._directory).stat().st_mode & 0o777
    assert mode == 0o700  # connection files are private
    engines.stop()
    engines.stop()
    assert engines.ranks == [] and not engines.lost()


@pytest.mark.mpi
def test_nothing_that_was_published_early_is_missed(cells, monkeypatch):
    cells.run("pass", 2)
    client = cells.engines._client
    add_callback = client._io_loop.add_callback

    def late(callback, *args):  # by then the ranks have answered
        if getattr(callback, "__name__", "") == "listen":
            time.sleep(0.3)
        add_callback(callback, *args)

    monkeypatch.setattr(client._io_loop, "add_callback", late)
    cells.run("print('early', comm.rank)", 2)
    assert cells.printed == {0: "early 0\n", 1: "early 1\n"}


@pytest.mark.mpi
def test_engines_that_cannot_start_are_told_and_cleaned_up(monkeypatch, tmp_path):
    fake = tmp_path / "mpiexec"
    fake.write_text("#!/bin/sh\necho 'unable to reach the machine'\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setattr("labkit.cluster.engines.local.find_mpiexec", lambda: str(fake))
    engines = LocalEngines()
    with pytest.raises(Exception, match="unable to reach the machine"):
        engines.start(2)
    assert engines._client is None and engines._directory is None


@pytest.mark.parametrize("number", [0, -3, 100_000])
def test_impossible_numbers_are_refused(number):
    with pytest.raises(UsageError, match=f"-n {number}"):
        check_num_ranks(number)


def test_no_mpi_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(NotAvailableError, match="No MPI here"):
        LocalEngines().start(2)


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit code 3"), (137, "SIGKILL): killed from outside"), (139, "segmentation fault"), (134, "abort()"), (255, "exit code 255")],
)
def test_exit_codes_in_words(code, words):
    assert words in words_for_exit(code)
    assert "memory ran out" in words_for_exit(137, out_of_memory=True)


def test_the_first_note_counts_and_an_abort_before_all(tmp_path):
    assert read_death_notes(tmp_path, {("n1", 11): 0}) == (None, "ended its process")
    notes = [("n1.site.org-33", "137\n"), ("n2-22", ""), ("n1-22", "3\n"), ("n1-99", "1\n"), ("notes.txt", "1\n")]
    for age, (name, code) in enumerate(notes):
        (tmp_path / name).write_text(code)
        os.utime(tmp_path / name, ns=(age, age))
    # the same process number on two machines is two processes; a note may not have arrived in whole
    ranks = {("n1", 11): 0, ("n1", 22): 1, ("n1.site.org", 33): 2, ("n2", 22): 3}
    assert read_death_notes(tmp_path, ranks)[0] == 2
    assert read_death_notes(tmp_path, {("n1", 22): 1, ("n2", 22): 3}) == (1, words_for_exit(3))
    (tmp_path / "n1-22.abort").write_text("5")
    assert read_death_notes(tmp_path, ranks) == (1, "called MPI Abort(5)")


def test_a_new_engine_with_the_id_of_one_that_ended_is_new():
    engines = LocalEngines()
    engines._client = client = SimpleNamespace(_engines={0: "a", 1: "b"}, ids=[0, 1])
    engines.end_ranks()
    assert engines._new_ids() == []  # the controller has not noticed yet
    client._engines = {0: "c", 1: "b", 2: "d"}  # the controller gives an id again that an engine asks for
    assert engines._new_ids() == [0, 2]
