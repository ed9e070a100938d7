"""Attempts of answers, run behind given walls."""

import functools
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.grading.confinement.sandbox import Sandbox, command, find_sandbox

HERE = Path(__file__).parent
DEADLINE_S = 90
HOW = {
    "bubblewrap": "bubblewrap does not work here: apt install bubblewrap, and allow user namespaces",
    "landlock": "this kernel has no Landlock: Linux 5.13 or newer, with landlock in its list of security modules",
    "seccomp": "no system-call filters here: Linux on x86_64 or aarch64",
}


def _attempts():
    spec = importlib.util.spec_from_file_location("attempts", HERE / "attempts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def attempts():
    """The module attempts.py."""
    return _attempts()


WALLS = ("bubblewrap", "landlock", "seccomp", "python")
COMBINATIONS = [*(frozenset([wall]) for wall in WALLS), frozenset(["landlock", "seccomp"]), frozenset(WALLS)]


def pytest_generate_tests(metafunc):
    """``attempt`` with the ``walls`` that must stop it, ``harm`` that succeeds without walls, ``need`` behind walls."""
    module, names = _attempts(), metafunc.fixturenames
    if "attempt" in names:
        pairs = [
            (name, walls) for name, (_, stopped_by) in module.ATTEMPTS.items() for walls in COMBINATIONS
            if stopped_by & walls or ("limits" in stopped_by and len(walls) == len(WALLS))
        ]
        metafunc.parametrize(("attempt", "walls"), pairs, ids=[_title(*pair) for pair in pairs])
    if "harm" in names:
        harms = [name for name, (_, stopped_by) in module.ATTEMPTS.items() if "limits" not in stopped_by]
        metafunc.parametrize("harm", harms)
    if "need" in names:
        pairs = [(name, walls) for name in module.NEEDS for walls in COMBINATIONS]
        metafunc.parametrize(("need", "walls"), pairs, ids=[_title(*pair) for pair in pairs])


def _title(name, walls):
    return f"{name}-{'+'.join(sorted(walls))}"


@pytest.fixture(scope="session")
def require():
    """``require(walls)`` skips where this machine lacks one."""

    def check(walls):
        sandbox = find_sandbox()
        for wall in walls:
            if wall in HOW and not getattr(sandbox, wall):
                pytest.skip(HOW[wall])

    return check


@pytest.fixture(scope="session")
def behind(attempts, tmp_path_factory, require):
    """``behind(walls)`` runs all attempts and needs behind these walls, once: outcomes and sizes, and the folder."""

    @functools.cache
    def run(walls: frozenset) -> tuple[dict, Path]:
        folder = tmp_path_factory.mktemp("walls")
        shown, scratch = folder / "shown", folder / "scratch"
        for path in (shown / "secret", scratch, folder / "outside"):
            path.mkdir(parents=True)
        (shown / "secret" / "secret.py").write_text("'swordfish'\n")
        (shown / "shown.txt").write_text("seven\n")
        (shown / "link").symlink_to(shown / "secret" / "secret.py")
        sources = {
            name: source for name, (source, stopped_by) in attempts.ATTEMPTS.items()
            if "limits" not in stopped_by or len(walls) in (0, 4)  # limits are always there, and some take seconds
        } | attempts.NEEDS
        for name in sources:
            (folder / "outside" / name).mkdir()
            (folder / "outside" / name / "file").write_text("precious")
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local, \
                socket.socket(socket.AF_UNIX) as abstract:
            path = str(folder / "s")
            local.bind(path)
            abstract.bind("\0" + path)
            local.listen()
            abstract.listen()
            names = {
                "FILE": f"{folder}/outside/{{}}/file", "NEW": f"{folder}/outside/{{}}/new", "SCRATCH": str(scratch),
                "SHOWN": str(shown / "shown.txt"), "SECRET": str(shown / "secret" / "secret.py"),
                "LINK": str(shown / "link"), "PORT": server.getsockname()[1], "UNIX": path,
            }
            hidden = [str(shown / "secret")]
            plan = [names, sorted(walls), sources, [str(shown), str(scratch)], hidden]
            (shown / "plan.json").write_text(json.dumps(plan))
            lines = _run(walls, scratch, shown, hidden)
        return {name: (outcome, size) for name, outcome, size in lines}, folder

    def checked(walls):
        require(walls)
        return run(frozenset(walls))

    return checked


def _run(walls, scratch, shown, hidden):
    reader, writer = os.pipe()
    sandbox = Sandbox(bubblewrap="bubblewrap" in walls, seccomp=False, landlock=False)
    argv = command(
        [sys.executable, str(HERE / "bootstrap.py"), str(shown / "plan.json"), str(writer)], scratch=scratch,
        readable=[shown, HERE], hidden=[Path(path) for path in hidden], sandbox=sandbox,
    )
    process = subprocess.Popen(
        argv, cwd=scratch, pass_fds=[writer], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    os.close(writer)
    with os.fdopen(reader) as stream:
        _, errors = process.communicate(timeout=DEADLINE_S)
        lines = [json.loads(line) for line in stream]
    assert process.returncode == 0, errors
    return lines
