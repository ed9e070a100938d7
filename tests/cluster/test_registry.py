"""The list of a user's clusters: private, robust against whatever lies in its folder, one cluster a name."""

import dataclasses
import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from labkit.cluster import registry
from labkit.cluster.registry import ClusterRecord, NameTakenError
from labkit.errors import UsageError


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "labkit" / "clusters"


def record(name="slurm", **values):
    return ClusterRecord(**{"name": name, "kind": "slurm", "folder": f"/clusters/{name}", "options": {}, "num_ranks": 2, "job_id": "1"} | values)


def test_a_record_comes_back_as_it_was_and_is_private(state):
    before = os.umask(0)
    try:
        first = record(options={"modules": ["a"]}, owner_pid=5, started=2.5)
        registry.save(first)
    finally:
        os.umask(before)
    assert registry.load("slurm") == first
    assert state.stat().st_mode & 0o777 == 0o700
    assert [(path.name, path.stat().st_mode & 0o777) for path in state.iterdir()] == [("slurm.json", 0o600)]
    state.chmod(0o755)
    registry.records()
    assert state.stat().st_mode & 0o777 == 0o700


def test_the_oldest_comes_first_and_the_dead_without_a_job_are_forgotten(state):
    for name, started in (("b", 3.0), ("a", 1.0), ("c", 2.0)):
        registry.save(record(name, started=started))
    registry.save(record("dead", job_id=""))
    registry.save(record("elsewhere", job_id="", host="another-machine", started=9.0))  # it cannot be seen from here
    me = psutil.Process()
    registry.save(record("living", job_id="", controller_pid=me.pid, controller_created=me.create_time(), started=8.0))
    assert [found.name for found in registry.records()] == ["a", "c", "b", "living", "elsewhere"]
    assert not (state / "dead.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"name": "bad"}', "\x00\xff", "[" * 100_000],
)
def test_a_broken_file_is_no_cluster(state, text):
    registry.save(record("good"))
    (state / "bad.json").write_bytes(text.encode("latin-1"))
    assert [found.name for found in registry.records()] == ["good"]
    with pytest.raises(UsageError, match="no cluster 'bad'. There are: good"):
        registry.load("bad")
    registry.save(record("bad"), new=True)  # and does not keep its name
    assert registry.load("bad").kind == "slurm"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../../x"), ("name", "other"), ("name", None), ("started", "now"), ("controller_pid", "1"), ("job_id", 5),
        ("folder", None), ("options", []), ("num_ranks", None), ("owner_pid", "me"), ("colour", "red"),
    ],
)
def test_a_record_with_a_wrong_value_is_no_cluster(state, field, value):
    registry.save(record("good"))
    values = dataclasses.asdict(record("bad")) | {field: value}
    (state / "bad.json").write_text(json.dumps(values))
    assert [found.name for found in registry.records()] == ["good"]
    assert (state / "bad.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-n", "a b", "a\n", "a\0", "é", "*", "x" * 65, ".hidden"])
def test_names_that_are_no_names(name, state):
    for what in (registry.load, lambda name: registry.remove(name, ""), lambda name: registry.save(record(name))):
        with pytest.raises(UsageError, match="is no name of a cluster"):
            what(name)
    assert not state.exists() or list(state.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "x" * 64, "slurm.json"])
def test_names_that_can_be_used(name):
    registry.save(record(name))
    assert registry.load(name).name == name and [found.name for found in registry.records()] == [name]


def test_a_name_is_removed_only_by_its_own_cluster(state):
    registry.save(record(folder="/clusters/new"))
    registry.remove("slurm", "/clusters/old")
    assert registry.load("slurm").folder == "/clusters/new"
    registry.remove("slurm", "/clusters/new")
    registry.remove("slurm", "/clusters/new")
    assert list(state.iterdir()) == []
    with pytest.raises(UsageError, match="None is running"):
        registry.load("slurm")


RACE = """
import sys, time
from labkit.cluster import registry
from labkit.errors import UsageError
while time.time() < {at}: pass
won = 0
for number in range(200):
    try:
        registry.save(registry.ClusterRecord(f"c{{number}}", "slurm", sys.argv[1], {{}}, 1, job_id="1"), new=True)
        won += 1
    except registry.NameTakenError:
        pass
print(won)
"""


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_that_want_a_name_one_gets_it(state, monkeypatch, has_links):
    if not has_links:  # some file systems; then the second is told as long as the first has been written

        def link(*_):
            raise PermissionError("Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    registry.save(record(), new=True)
    with pytest.raises(NameTakenError, match="There is a cluster 'slurm' already.*--name.*%cluster stop slurm"):
        registry.save(record(folder="/clusters/other"), new=True)
    assert registry.load("slurm").folder == "/clusters/slurm"
    assert registry.free_name("slurm") == "slurm-2" and registry.free_name("pbs") == "pbs"
    registry.save(record(job_id="7"))  # its own
    assert registry.load("slurm").job_id == "7" and [path.name for path in state.iterdir()] == ["slurm.json"]


def test_two_processes_race_for_two_hundred_names(state):
    import time

    code = RACE.format(at=time.time() + 2)
    processes = [subprocess.Popen([sys.executable, "-c", code, who], stdout=subprocess.PIPE, text=True) for who in ("/a", "/b")]
    won = {who: int(process.communicate(timeout=60)[0]) for who, process in zip(("/a", "/b"), processes, strict=True)}
    found = [registry.load(f"c{n}").folder for n in range(200)]
    assert {who: found.count(who) for who in won} == won and sum(won.values()) == 200
    assert len(list(state.iterdir())) == 200


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for what in (registry.records, lambda: registry.save(record()), lambda: registry.load("slurm")):
        with pytest.raises(UsageError, match="cannot be kept: .*XDG_STATE_HOME"):
            what()


def test_a_folder_of_somebody_else_is_one_sentence(state, monkeypatch):
    state.mkdir(parents=True, mode=0o755)

    def refuse(self, mode):
        raise PermissionError(1, "Operation not permitted", str(self))

    monkeypatch.setattr("pathlib.Path.chmod", refuse)
    with pytest.raises(UsageError, match="Operation not permitted.*Make this folder writable"):
        registry.records()


def test_a_number_that_is_used_again_is_another_process():
    me = psutil.Process()
    assert registry.is_process(me.pid, me.create_time())
    assert not registry.is_process(me.pid, me.create_time() - 5)
    assert not registry.is_process(0, 0.0) and not registry.is_process(-1, 0.0) and not registry.is_process(2**22 + 5, 0.0)
    child = subprocess.Popen(["true"])
    created = psutil.Process(child.pid).create_time()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not registry.is_process(child.pid, created)  # it has ended, though nobody has asked how
    child.wait()


def test_who_uses_it(monkeypatch):
    me, parent = psutil.Process(), psutil.Process(os.getppid())
    assert not record(user_pid=None).is_in_use()
    assert not record(user_pid=me.pid, user_created=me.create_time()).is_in_use()  # this process
    other = record(user_pid=parent.pid, user_created=parent.create_time(), controller_pid=me.pid, controller_created=me.create_time())
    assert other.is_in_use() and other.controller_runs() is True and other.kept
    assert not dataclasses.replace(other, user_created=1.0).is_in_use()
    assert dataclasses.replace(other, host="another-machine").controller_runs() is None
    monkeypatch.setattr(socket, "gethostname", lambda: "another-machine")
    assert not other.is_here() and not other.is_in_use() and other.controller_runs() is None
