"""tools/install.py on a tiny project: fast, offline, and for everything that can go wrong."""

import ast
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTALL = ROOT / "tools" / "install.py"
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny"
version = "1"
dependencies = [{dependencies}]
[project.optional-dependencies]
test = []
"""
# A build backend that needs nothing, so that pip needs no network.
BACKEND = '''
import os, time, zipfile

NAME = "tiny-1-py3-none-any.whl"

def build_editable(directory, config_settings=None, metadata_directory=None):
    while os.path.exists("wait"):
        open("waiting", "w").close()
        time.sleep(0.05)
    with zipfile.ZipFile(f"{directory}/{NAME}", "w") as wheel:
        wheel.writestr("tiny-1.dist-info/METADATA",
                       "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\nProvides-Extra: test\\n" + REQUIRES)
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return NAME

build_wheel = build_editable
'''


NO_SUCH_PACKAGE = "surely-there-is-no-such-package"
SETTINGS = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))} | {
    "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull,
}


def make_project(root, requires=""):
    root.mkdir(exist_ok=True)
    (root / "pyproject.toml").write_text(PYPROJECT.format(dependencies=f"'{requires}'" if requires else ""))
    (root / "constraints.txt").write_text("# none\n")
    line = f"Requires-Dist: {requires}\n" if requires else ""
    (root / "backend.py").write_text(f"REQUIRES = {line!r}\n{BACKEND}")
    return root


@pytest.fixture
def project(tmp_path):
    # a blank in the name must not matter
    return functools.partial(make_project, tmp_path / "a project")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """(Where a project was installed once, and a copy of it.)"""
    folder = tmp_path_factory.mktemp("installed")
    root = make_project(folder / "a project")
    first = install(root)
    assert first.returncode == 0, first.stderr
    shutil.copytree(root, folder / "copy", symlinks=True)
    return root, folder / "copy"


@pytest.fixture
def installed(kept):
    """An installed project, as good as new; always in the same place, which its programs name."""
    root, copy = kept
    for old in root.parent.iterdir():
        if old != copy:
            shutil.rmtree(old)
    shutil.copytree(copy, root, symlinks=True)
    return root


def install(root, *options, python=sys.executable, **environment):
    return subprocess.run(
        [python, str(INSTALL), "--root", str(root), *options], capture_output=True, text=True,
        env=SETTINGS | environment, timeout=110,
    )


def start(root):
    return subprocess.Popen(
        [sys.executable, str(INSTALL), "--root", str(root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=SETTINGS,
    )


def wait_for(path, seconds=60):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


def is_one_sentence(failed, *words):
    """A failure with status 1 that says all it has to say in one line."""
    sentence = failed.stderr.strip()
    assert failed.returncode == 1, failed
    assert sentence and "\n" not in sentence and "Traceback" not in failed.stdout + sentence
    assert all(word in sentence for word in words), sentence
    return True


def stamp(root):
    return json.loads((root / ".venv" / "labkit-install.json").read_text())


def test_installs_once_and_then_does_nothing(project):
    root = project()
    first = install(root)
    assert first.returncode == 0, first.stderr
    assert "Installed." in first.stdout
    python = root / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-m", "pip", "show", "-q", "tiny"]).returncode == 0
    second = install(root)
    assert (second.returncode, second.stdout) == (0, "")
    with_tests = install(root, "--extra", "test")
    assert with_tests.returncode == 0 and "up to date" in with_tests.stdout
    assert stamp(root)["extras"] == ["test"]
    assert install(root).stdout == ""  # what has more is enough
    (root / "pyproject.toml").write_text((root / "pyproject.toml").read_text() + "# changed\n")
    again = install(root)  # the pins are the same: no new environment, and no extra is lost
    assert "up to date" in again.stdout and "Making" not in again.stdout
    assert stamp(root)["extras"] == ["test"]


@pytest.mark.parametrize(
    "damage", ["no stamp", "half a stamp", "no python", "half of .venv", "other constraints", "moved", "linked .venv"]
)
def test_recovers_from_half_an_installation(installed, damage):
    root = installed
    assert install(root).stdout == ""  # nothing to do: the damage is what makes a difference
    venv = root / ".venv"
    if damage == "no stamp":
        (venv / "labkit-install.json").unlink()
    elif damage == "half a stamp":
        (venv / "labkit-install.json").write_text('{"fingerpr')
    elif damage == "no python":
        for name in ("python", "python3"):
            (venv / "bin" / name).unlink(missing_ok=True)
    elif damage == "half of .venv":
        (venv / "lib").rename(root / "lost")
    elif damage == "moved":
        root = root.rename(root.with_name("moved here"))
    elif damage == "linked .venv":
        venv.rename(root / "another disk")
        venv.symlink_to(root / "another disk")
        (venv / "labkit-install.json").unlink()
    else:
        (root / "constraints.txt").write_text("# changed\n")
    again = install(root)
    assert again.returncode == 0, again.stderr
    assert "starting it again" in again.stdout and "Installed." in again.stdout
    assert install(root).stdout == ""


def test_the_python_of_the_environment_can_make_it_anew(installed):
    root = installed
    (root / "constraints.txt").write_text("# changed\n")
    again = install(root, python=root / ".venv" / "bin" / "python")
    assert again.returncode == 0 and "starting it again" in again.stdout, again.stderr
    assert "Installed." in again.stdout


def test_a_broken_download_is_one_sentence_and_the_next_run_recovers(project):
    root = project(NO_SUCH_PACKAGE)
    assert is_one_sentence(install(root), "run the same command again", NO_SUCH_PACKAGE, "install.log")
    assert NO_SUCH_PACKAGE in (root / ".venv" / "install.log").read_text()
    project()  # the package is there now
    assert install(root).returncode == 0


def test_a_network_that_does_not_answer_is_one_sentence(project):
    root = project("anything")
    settings = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    failed = install(root, **settings)
    assert is_one_sentence(failed, "the network did not answer", "internet connection")
    assert "trying again" in failed.stdout


def test_without_network_what_is_installed_stays_usable(project):
    root = project(f'{NO_SUCH_PACKAGE}; extra == "test"')
    assert install(root).returncode == 0
    assert is_one_sentence(install(root, "--extra", "test"), NO_SUCH_PACKAGE)
    assert install(root).stdout == "" and stamp(root)["extras"] == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_recovers_after_being_killed(project, how):
    root = project()
    (root / "wait").touch()
    first = start(root)
    wait_for(root / "waiting")  # pip is building now
    first.send_signal(how)
    (root / "wait").unlink()
    _, errors = first.communicate(timeout=60)
    if how == signal.SIGTERM:
        assert errors.strip() == "Stopped; run the same command again to finish the installation."
    again = install(root)
    assert again.returncode == 0 and "Installed." in again.stdout, again.stderr
    assert install(root).stdout == ""


def test_two_at_once_take_turns(project):
    root = project()
    (root / "wait").touch()
    first = start(root)
    wait_for(root / "waiting")
    second = start(root)
    assert second.stdout.readline() == "Another installation runs in this folder; waiting for it to end.\n"
    (root / "wait").unlink()
    printed, errors = first.communicate(timeout=60)
    assert first.returncode == 0 and "Installed." in printed, errors
    printed, errors = second.communicate(timeout=60)
    assert (second.returncode, printed, errors) == (0, "", "")  # it found all done


def test_settings_for_other_environments_do_not_matter(project, tmp_path):
    (tmp_path / "tiny-1.dist-info").mkdir()
    (tmp_path / "tiny-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
    root = project()
    done = install(root, PIP_USER="1", PIP_TARGET=str(tmp_path / "elsewhere"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(root.glob(".venv/lib/python*/site-packages/tiny-1.dist-info"))


def test_no_venv_module_is_one_sentence(project, tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')")
    assert is_one_sentence(install(project(), PYTHONPATH=str(tmp_path)), "apt install python3-venv")


def test_a_venv_that_cannot_be_made_is_one_sentence(project):
    root = project()
    (root / ".venv").write_text("a file")
    assert is_one_sentence(install(root), "a file named", "move it away")
    assert is_one_sentence(install(root / "nowhere"), "No such file", "run the same command again")
    assert is_one_sentence(install(root.with_name("a:b")), "with : in its name")


@pytest.mark.parametrize("newer", [True, False])
def test_an_old_python_is_one_sentence(tmp_path, newer):
    if newer:
        (tmp_path / "python3.13").symlink_to("/bin/true")
    program = (
        "import sys, runpy\nsys.version_info = (3, 9, 2)\nsys.argv = ['install.py']\n"
        f"runpy.run_path({str(INSTALL)!r}, run_name='__main__')"
    )
    failed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert is_one_sentence(failed, "needs Python 3.11 or newer", "is Python 3.9", "make lab PYTHON=python3.1")
    assert ("newer one that is here: make lab PYTHON=python3.13" in failed.stderr) == newer


def test_the_oldest_python_is_said_once():
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"OLDEST = ({oldest.removeprefix('>=').replace('.', ', ')})" in INSTALL.read_text()


def test_the_file_is_readable_for_old_pythons():
    tree = ast.parse(INSTALL.read_text(), feature_version=(3, 4))
    new = (ast.JoinedStr, ast.AnnAssign, ast.Nonlocal, ast.YieldFrom, ast.Starred)  # unknown to Python 2
    assert not [node for node in ast.walk(tree) if isinstance(node, new)]
    assert INSTALL.read_text().isascii()  # Python 2 reads nothing else without being told
