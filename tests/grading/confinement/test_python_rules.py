"""Modules that an answer may not import, folders with something hidden in them, and file descriptors."""

import subprocess
import sys
from pathlib import Path

import pytest

import labkit
from labkit.grading.confinement.paths import outermost, python_folders, visible
from labkit.grading.confinement.sandbox import environment

DEADLINE_S = 60
CONFINE = """
import importlib, os, sys
from pathlib import Path
import labkit, labkit.mpi.cost.model
from labkit.grading.confinement.confine import Level, confine
package = Path(labkit.__file__).parent
"""


def run(program, tmp_path):
    argv = [sys.executable, "-c", CONFINE + program]
    done = subprocess.run(
        argv, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, env=environment(tmp_path),
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize("lowered", ["no-bubblewrap", "limits"])
def test_blocked_modules(lowered, tmp_path, monkeypatch):
    """Neither by a statement, nor by importlib, nor from sys.modules, nor as an attribute, nor as a file."""
    monkeypatch.setenv("LABKIT_SANDBOX", lowered)
    status, lines, errors = run("""
confine(Level.ANSWER, hidden=[package / "mpi", package / "grading"], memory_bytes=1 << 30, cpu_seconds=10)
def exec_file():
    spec = importlib.util.spec_from_file_location("x", package / "mpi" / "__init__.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
def without_blocker():
    sys.meta_path.pop(0)
    importlib.import_module("labkit.mpi.collectives")
for attempt in (
    lambda: __import__("labkit.mpi"), lambda: importlib.import_module("labkit.mpi.collectives"),
    lambda: __import__("labkit.grading.exercise"), lambda: exec("from labkit import mpi"), lambda: labkit.mpi,
    lambda: sys.modules["labkit.mpi"], lambda: sys.modules["labkit.grading.confinement.confine"], exec_file,
    without_blocker,
):
    try:
        attempt()
        print("imported")
    except Exception as error:
        print(type(error).__name__)
import labkit.comm.network.presets
print("labkit.mpi" in sys.modules)
""", tmp_path)
    assert status == 0, errors
    assert lines[:8] == [
        "ImportError", "ImportError", "ImportError", "ImportError", "AttributeError", "KeyError", "KeyError",
        "PermissionError",
    ]
    assert lines[8] in ("ModuleNotFoundError", "ImportError", "PermissionError")
    assert lines[9] == "False"


def test_other_descriptors_are_closed(tmp_path):
    status, lines, errors = run("""
kept, other = os.pipe()[0], os.pipe()[0]
confine(Level.ANSWER, memory_bytes=1 << 30, cpu_seconds=10, keep_fds=[kept])
for fd in (0, 1, 2, kept, other):
    try:
        os.fstat(fd)
        print("open")
    except OSError:
        print("closed")
""", tmp_path)
    assert status == 0, errors
    assert lines == ["open", "open", "open", "open", "closed"]


def test_hook_outlives_patches(tmp_path, monkeypatch):
    """What the hook uses was bound when it was installed; its tables are copies."""
    monkeypatch.setenv("LABKIT_SANDBOX", "limits")
    status, lines, errors = run("""
from labkit.grading.confinement import python_rules as rules
confine(Level.ANSWER, memory_bytes=1 << 30, cpu_seconds=10)
rules.REFUSED.clear()
rules.WRITES = 0
os.path.realpath = lambda path: "/usr"
for attempt in (lambda: os.fork(), lambda: open("new", "w"), lambda: open("/etc/hostname")):
    try:
        attempt()
        print("allowed")
    except PermissionError as error:
        print("refused")
""", tmp_path)
    assert lines == ["refused"] * 3, errors


def test_abort_is_an_abort(tmp_path):
    """A process may signal itself."""
    status, _, _ = run("""
confine(Level.ANSWER, memory_bytes=1 << 30, cpu_seconds=10)
os.abort()
""", tmp_path)
    assert status == -6


def test_visible(tmp_path):
    for name in ("a/x", "a/secret", "a/b/secret", "a/b/y", "c"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "file").write_text("")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "secret")
    a = tmp_path / "a"
    whole, listed = visible([a, tmp_path / "c", a / "x", tmp_path / "none"], [a / "secret", a / "b" / "secret"])
    assert sorted(whole) == [a / "b" / "y", a / "file", a / "x", tmp_path / "c"]
    assert sorted(listed) == [a, a / "b"]
    assert visible([a / "b"], [a]) == ([], [])


def test_python_folders(monkeypatch, tmp_path):
    """labkit itself and not the folder around it, unless that is a folder of installed packages."""
    folders = python_folders()
    package = Path(labkit.__file__).parent
    assert any(package.is_relative_to(folder) for folder in folders)
    assert outermost(folders) == folders
    if not package.is_relative_to(sys.prefix):
        assert package in folders
        assert package.parent not in folders
