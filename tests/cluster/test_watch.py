"""What a controller does besides: signs of life, the end with its owner or its job; of its own cluster only."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cluster import registry, watch
from labkit.cluster.registry import ClusterRecord
from labkit.cluster.schedulers.scheduler import JobState
from labkit.errors import EnginesError

sys.path.insert(0, str(Path(__file__).parent))
from fake_cluster import CHECKOUT, until, write_program  # noqa: E402

LOOK_AFTER = """
import sys, time
from labkit.cluster import watch
watch.SIGN_EVERY_S, watch.ASK_EVERY_S = 0.1, 0.3
watch.look_after(sys.argv[1], "mine", int(sys.argv[2]) or None)
print("looks", flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_program(tmp_path / "bin" / "qdel", f'#!/bin/sh\necho "$@" >>{tmp_path}/cancelled\n')
    write_program(tmp_path / "bin" / "qstat", f"#!/bin/sh\ncat {tmp_path}/state_of_job\n")
    (tmp_path / "state_of_job").write_text("Job Id: 7\n    job_state = R\n")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    (tmp_path / "cluster").mkdir()
    registry.save(ClusterRecord("mine", "pbs", str(tmp_path / "cluster"), {}, 1, job_id="7"))
    return tmp_path


@pytest.fixture
def controller(place):
    started = []

    def start(owner_pid=0):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOK_AFTER, str(place / "cluster"), str(owner_pid)], start_new_session=True,
            stdout=subprocess.PIPE, text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "looks\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def cancelled(place):
    return (place / "cancelled").read_text() if (place / "cancelled").exists() else ""


def names():
    return [path.stem for path in registry.registry_folder().glob("*.json")]


def test_signs_of_life(place, controller):
    process = controller()
    sign = place / "cluster" / "alive"
    first = until(lambda: sign.exists() and sign.read_text())
    until(lambda: sign.read_text() not in ("", first))
    assert process.poll() is None and cancelled(place) == ""


def test_with_its_owner_ends_the_job_and_all_its_files(place, controller):
    owner = subprocess.Popen(["sleep", "600"])
    process = controller(owner.pid)
    owner.kill()
    owner.wait()
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert cancelled(place) == "7\n" and names() == [] and not (place / "cluster").exists()


def test_an_owner_that_is_gone_before_it_looks(place, controller):
    owner = subprocess.Popen(["true"])
    owner.wait()
    assert controller(owner.pid).wait(timeout=30) == -signal.SIGTERM
    assert cancelled(place) == "7\n"


def test_it_ends_with_its_job(place, controller):
    process = controller()
    (place / "state_of_job").write_text("Job Id: 7\n    job_state = F\n    Exit_status = 0\n")
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert names() == [] and not (place / "cluster").exists()


def test_it_ends_when_its_folder_is_removed(place, controller):
    process = controller()
    until(lambda: (place / "cluster" / "alive").exists())
    os.rename(place / "cluster", place / "moved")
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert cancelled(place) == "7\n"


def test_a_cluster_that_has_taken_the_name_is_left_alone(place, controller):
    owner = subprocess.Popen(["sleep", "600"])
    process = controller(owner.pid)
    registry.save(ClusterRecord("mine", "pbs", "/clusters/another", {}, 1, job_id="8"))
    owner.kill()
    owner.wait()
    assert process.wait(timeout=30) == -signal.SIGTERM
    assert cancelled(place) == "" and registry.load("mine").job_id == "8"
    assert not (place / "cluster").exists()


def test_a_batch_system_that_does_not_answer_is_no_answer(place, monkeypatch):
    folder = str(place / "cluster")
    assert not watch.recorded_job_ended("mine", folder)

    class Silent:
        def state(self, job_id):
            raise EnginesError("PBS did not answer")

        cancel = state

    monkeypatch.setattr("labkit.cluster.schedulers.find_scheduler", lambda kind: Silent())
    assert not watch.recorded_job_ended("mine", folder)
    watch.cancel_recorded_job("mine", folder)
    watch.cancel_recorded_job("nobody", folder)
    assert not watch.recorded_job_ended("nobody", folder)


def test_only_the_word_ended_is_an_end(place, monkeypatch):
    said = []

    class Says:
        def state(self, job_id):
            said.append(job_id)
            return JobState(word)

    monkeypatch.setattr("labkit.cluster.schedulers.find_scheduler", lambda kind: Says())
    for word in ("queued", "starting", "running", "unknown", "ended"):
        assert watch.recorded_job_ended("mine", str(place / "cluster")) is (word == "ended")
    assert said == ["7"] * 5
    path = registry.registry_folder() / "mine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"job_id": ""}))
    assert not watch.recorded_job_ended("mine", str(place / "cluster"))
    assert len(said) == 5
