"""Fake batch systems and a fake ssh for tests: programs on PATH, homes and lists of clusters of their own."""

import os
import sys
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
PROGRAMS = {"pbs": ("qsub", "qstat", "qdel"), "lsf": ("bsub", "bjobs", "bkill"), "sge": ("qsub", "qstat", "qdel", "qacct")}


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def until(what, within_s=30):
    """Ask until the answer is true; return it."""
    deadline = time.monotonic() + within_s
    while not (answer := what()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return answer


def tagged(name, value):
    """The processes with a variable in their environment, but for this one."""
    mark, found = f"{name}={value}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


class FakeCluster:
    """A batch system of a kind; its programs come first on PATH."""

    def __init__(self, folder, kind):
        self.kind, self.folder, self.bin = kind, folder / "system", folder / "bin"
        (self.folder / "jobs").mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        for program in PROGRAMS[kind]:
            write_program(
                self.bin / program, f'#!/bin/sh\nexec {sys.executable} -I {HERE}/fake_scheduler.py {self.folder} {kind} {program} "$@"\n'
            )
        self.environment = {
            "HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state"), "XDG_CONFIG_HOME": str(self.home / "config"),
            "PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT), "FAKE_TEST": str(folder),
        }

    @property
    def jobs(self):
        return sorted((self.folder / "jobs").iterdir(), key=lambda job: int(job.name))

    def has_ended(self, job):
        return (job / "ended").exists()

    def left(self):
        """Processes of any job that still run."""
        return [pid for job in self.jobs for pid in tagged("FAKE_JOB", job)]

    def end(self):
        for job in self.jobs:
            (job / "cancelled").touch()
        until(lambda: all(self.has_ended(job) for job in self.jobs))
