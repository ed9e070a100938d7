"""The keeper of a job: worlds one after the other, ended on order, nothing left, and it ends when it is forsaken."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from labkit.cluster.keeper import Keeper, write_whole


def wait_for(what, within_s=20):
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.fixture
def keeper(tmp_path):
    process = subprocess.Popen([sys.executable, "-m", "labkit.cluster.keeper", str(tmp_path)])
    yield process
    process.kill()
    process.wait()


def order(folder, number, *command, **environment):
    write_whole(folder / f"world-{number}.json", json.dumps({"command": command, "environment": environment}))


def test_worlds_run_one_after_the_other(tmp_path, keeper):
    order(tmp_path, 2, "sh", "-c", "echo second; exit 3")
    order(tmp_path, 1, "sh", "-c", "echo $WORD; ls", WORD="first")
    assert wait_for(lambda: (tmp_path / "world-2.ended").exists())
    assert (tmp_path / "world-1.ended").read_text() == "0" and (tmp_path / "world-2.ended").read_text() == "3"
    assert (tmp_path / "world-1.log").read_text().startswith("first\n")
    assert (tmp_path / "world-2.log").read_text() == "second\n"
    order(tmp_path, 3, "/no/such/program")
    assert wait_for(lambda: (tmp_path / "world-3.ended").exists())
    assert "No such file" in (tmp_path / "world-3.log").read_text()
    assert keeper.poll() is None  # and waits for more


@pytest.mark.parametrize("is_stubborn", [False, True])
def test_a_world_is_ended_with_all_it_has_started(tmp_path, keeper, is_stubborn):
    trap = "trap '' TERM; " if is_stubborn else ""
    order(tmp_path, 1, "sh", "-c", f"{trap}sleep 300 & echo $! >{tmp_path}/child; wait; sleep 300")
    child = int(wait_for(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip()))
    (tmp_path / "world-1.kill").touch()
    assert wait_for(lambda: (tmp_path / "world-1.ended").exists())
    assert wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")
    order(tmp_path, 2, "true")
    assert wait_for(lambda: (tmp_path / "world-2.ended").exists())


def test_the_end_of_the_job_ends_its_world(tmp_path, keeper):
    order(tmp_path, 1, "sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 300")
    pid = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()))
    os.kill(keeper.pid, signal.SIGTERM)
    assert keeper.wait(timeout=20) == 0
    assert (tmp_path / "job-ended").read_text() == "the job was told to end (SIGTERM)"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


def test_nobody_there_ends_the_job_but_not_a_world_that_runs(tmp_path):
    (tmp_path / "alive").write_text("0")
    order(tmp_path, 1, "sleep", "1.5")
    began = time.monotonic()
    assert "no sign of life" in Keeper(tmp_path, forsaken_s=0.5).run()
    assert time.monotonic() - began > 2.0  # the world's time, and then the patience


def test_signs_of_life_keep_the_job(tmp_path):
    import threading

    def live():
        for number in range(8):
            (tmp_path / "alive").write_text(str(number))
            time.sleep(0.2)

    thread = threading.Thread(target=live)
    began = time.monotonic()
    thread.start()
    Keeper(tmp_path, forsaken_s=0.6).run()
    thread.join()
    assert time.monotonic() - began > 1.4


def test_a_folder_that_is_gone_ends_it_without_a_trace(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "labkit.cluster.keeper", str(folder)])
    time.sleep(0.5)
    folder.rmdir()
    assert process.wait(timeout=20) == 0 and not folder.exists()


def test_an_order_that_has_arrived_in_part_waits(tmp_path):
    (tmp_path / "world-1.json").write_text('{"command": ["tr')
    assert Keeper(tmp_path)._next_order() is None
    order(tmp_path, 1, "true")
    assert Keeper(tmp_path)._next_order()["command"] == ["true"]
