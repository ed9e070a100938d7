"""The verbs on clusters, without a batch system: what they say of records, and what they end."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from labkit.cluster import manage, registry
from labkit.cluster.options import ClusterOptions
from labkit.cluster.registry import ClusterRecord
from labkit.cluster.schedulers.scheduler import JobState
from labkit.errors import EnginesError, NotAvailableError, UsageError


class FakeScheduler:
    def __init__(self):
        self.cancelled, self.now = [], JobState("running", nodes=("n1", "n2"))

    def state(self, job_id):
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def cancel(self, job_id):
        if isinstance(self.now, Exception):
            raise self.now
        self.cancelled.append(job_id)


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    scheduler = FakeScheduler()
    monkeypatch.setattr(manage, "find_scheduler", lambda kind: scheduler)
    return scheduler


@pytest.fixture
def save(scheduler, tmp_path):
    me = psutil.Process()

    def save(name="slurm", **values):
        (tmp_path / name).mkdir()
        record = ClusterRecord(**{
            "name": name, "kind": "slurm", "folder": str(tmp_path / name), "options": {}, "num_ranks": 8, "job_id": "42",
            "host": registry.socket.gethostname(), "controller_pid": me.pid, "controller_created": me.create_time(),
        } | values)
        registry.save(record)
        return record

    return save


def test_the_line_of_a_cluster(scheduler, save):
    record = save(host="login1", owner_pid=77)
    assert manage.status(record).text == "slurm: slurm, 8 ranks on n1, n2, job 42, running, of process 77 on login1"
    scheduler.now = JobState("queued", "It waits for nodes.")
    record = save("kept", host="login1")
    assert manage.status(record).text == "kept: slurm, 8 ranks, job 42, queued (It waits for nodes.), kept on login1"
    scheduler.now = JobState("running", nodes=tuple(f"n{n}" for n in range(9)))
    assert " on n0, n1, n2, n3, n4, n5, ..., job" in manage.status(record).text


@pytest.mark.parametrize("error", [EnginesError("it is down"), NotAvailableError("no squeue")])
def test_a_silent_batch_system_is_unknown_and_not_an_end(scheduler, save, error):
    scheduler.now = error
    save()
    (status,) = manage.statuses()
    assert status.word == "unknown"


def test_a_cluster_without_its_controller_is_lost(save):
    assert manage.status(save("gone", controller_created=1.0)).word == "lost"
    assert manage.status(save("far", controller_created=1.0, host="another-machine")).word == "running"
    assert manage.status(save("young", job_id="")).word == "idle"


def test_stop_ends_job_controller_files_and_record(scheduler, save):
    controller = subprocess.Popen(["sleep", "600"], start_new_session=True)
    created = psutil.Process(controller.pid).create_time()
    record = save(controller_pid=controller.pid, controller_created=created)
    assert manage.stop("slurm") == "Cluster 'slurm' has been stopped. Job 42 is cancelled."
    assert controller.wait(timeout=20) == -signal.SIGTERM
    assert scheduler.cancelled == ["42"] and not os.path.exists(record.folder) and registry.records() == []
    with pytest.raises(UsageError, match="no cluster 'slurm'"):
        manage.stop("slurm")


def test_stop_leaves_a_process_alone_that_has_got_the_number(save):
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        save(controller_pid=other.pid, controller_created=psutil.Process(other.pid).create_time() - 100)
        manage.stop("slurm")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_stop_that_is_refused_can_be_repeated(scheduler, save):
    record = save()
    scheduler.now = EnginesError("Slurm did not answer")
    with pytest.raises(EnginesError, match="did not answer"):
        manage.stop("slurm")
    assert os.path.exists(record.folder) and registry.load("slurm").job_id == "42"  # nothing is forgotten


def test_logs_are_the_last_lines_of_the_last_worlds(save):
    folder = Path(save().folder)
    assert "has printed nothing yet" in manage.logs("slurm")
    (folder / "job.log").write_text("".join(f"line {n}\n" for n in range(50)))
    for number in (1, 2, 9, 10):
        (folder / f"world-{number}.log").write_bytes(f"world {number} \xff\n".encode("latin-1"))
    text = manage.logs("slurm", num_lines=3)
    assert "... 47 lines before\nline 47\nline 48\nline 49\n" in text
    assert [line for line in text.splitlines() if line.startswith("==")] == ["== job.log", "== world-9.log", "== world-10.log"]


def test_a_dry_run_starts_nothing(scheduler, tmp_path):
    text = manage.dry_run(ClusterOptions("pbs", num_ranks=3))
    assert text.startswith("#!/bin/bash") and "select=3" in text and str(tmp_path / ".labkit" / "clusters") in text
    assert not (tmp_path / ".labkit").exists()
    for options in (ClusterOptions("local"), ClusterOptions("ssh", hosts=("a",))):
        with pytest.raises(UsageError, match="needs no job script"):
            manage.dry_run(options)


class FakeEngines:
    """Takes its name as engines do."""

    taken: set = set()

    def __init__(self, options):
        self.options = options

    def start(self, num_ranks, progress):
        if self.options.name in self.taken:
            raise registry.NameTakenError(f"There is a cluster {self.options.name!r} already.")


def test_a_name_that_is_lost_to_another_process_is_replaced_unless_it_was_chosen(scheduler, save, monkeypatch):
    monkeypatch.setattr(manage, "engines_for", FakeEngines)
    save("slurm-2")
    monkeypatch.setattr(FakeEngines, "taken", {"slurm"})
    registry.save(ClusterRecord("slurm", "slurm", "/x", {}, 1, job_id="1"))
    monkeypatch.setattr(registry, "records", lambda: [])  # as if it had not been there when we looked
    assert manage.start(ClusterOptions("slurm"), print).options.name == "slurm-3"
    monkeypatch.setattr(FakeEngines, "taken", {"mine"})
    with pytest.raises(UsageError, match="There is a cluster 'mine' already"):
        manage.start(ClusterOptions("slurm", name="mine"), print)


def test_a_chosen_name_that_is_there_is_refused_and_a_default_one_is_numbered(scheduler, save, monkeypatch):
    monkeypatch.setattr(manage, "engines_for", FakeEngines)
    save("slurm")
    save("mine")
    with pytest.raises(UsageError, match="%cluster connect mine works with it, %cluster stop mine ends it"):
        manage.start(ClusterOptions("slurm", name="mine"), print)
    assert manage.start(ClusterOptions("slurm"), print).options.name == "slurm-2"


def test_a_cluster_on_another_machine_is_not_connected_to(scheduler, save):
    save(host="login1")
    with pytest.raises(EnginesError, match="is looked after on login1.*connect there"):
        manage.connect("slurm", print)


def test_a_cluster_of_another_notebook_is_not_connected_to(scheduler, save):
    parent = psutil.Process(os.getppid())
    save(user_pid=parent.pid, user_created=parent.create_time())
    with pytest.raises(EnginesError, match=f"used by another notebook .process {parent.pid}"):
        manage.connect("slurm", print)
    assert registry.load("slurm").job_id == "42"
