"""tools/install.py on a tiny project: fast, offline, and for everything that can go wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "tools" / "install.py"
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
import zipfile

NAME = "tiny-1-py3-none-any.whl"

def build_editable(directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{directory}/{NAME}", "w") as wheel:
        wheel.writestr("tiny-1.dist-info/METADATA",
                       "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\nProvides-Extra: test\\n" + REQUIRES)
        wheel.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return NAME

build_wheel = build_editable
'''


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "a project"  # a blank in the name must not matter

    def make(requires=""):
        root.mkdir(exist_ok=True)
        (root / "pyproject.toml").write_text(PYPROJECT.format(dependencies=f'"{requires}"' if requires else ""))
        (root / "constraints.txt").write_text("# none\n")
        line = f"Requires-Dist: {requires}\\n" if requires else ""
        (root / "backend.py").write_text(f'REQUIRES = "{line}"\n{BACKEND}')
        return root

    return make


def install(root, *options, **environment):
    settings = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, **environment}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    return subprocess.run(
        [sys.executable, str(INSTALL), "--root", str(root), *options], capture_output=True, text=True,
        env=kept | settings, timeout=110,
    )


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
    assert with_tests.returncode == 0 and "Installed." in with_tests.stdout
    stamp = json.loads((root / ".venv" / "labkit-install.json").read_text())
    assert stamp["extras"] == ["test"]
    assert install(root).stdout == ""  # what has more is enough


@pytest.mark.parametrize("damage", ["no stamp", "no python", "half a stamp", "other constraints"])
def test_recovers_from_half_an_installation(project, damage):
    root = project()
    assert install(root).returncode == 0
    venv = root / ".venv"
    if damage == "no stamp":
        (venv / "labkit-install.json").unlink()
    elif damage == "half a stamp":
        (venv / "labkit-install.json").write_text('{"fingerpr')
    elif damage == "no python":
        for name in ("python", "python3"):
            (venv / "bin" / name).unlink(missing_ok=True)
    else:
        (root / "constraints.txt").write_text("# changed\n")
    again = install(root)
    assert again.returncode == 0, again.stderr
    assert "starting it again" in again.stdout and "Installed." in again.stdout
    assert install(root).stdout == ""


def test_a_broken_download_is_one_sentence_and_the_next_run_recovers(project):
    root = project("surely-there-is-no-such-package")
    failed = install(root)
    assert failed.returncode == 1
    sentence = failed.stderr.strip()
    assert "\n" not in sentence and "run the same command again" in sentence and "surely-there-is" in sentence
    assert "Traceback" not in failed.stdout + failed.stderr
    assert "surely-there-is-no-such-package" in (root / ".venv" / "install.log").read_text()
    project()  # the package is there now
    assert install(root).returncode == 0


def test_no_venv_module_is_one_sentence(project, tmp_path):
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')")
    failed = install(project(), PYTHONPATH=str(tmp_path))
    assert failed.returncode == 1
    assert "apt install python3-venv" in failed.stderr and "\n" not in failed.stderr.strip()


def test_an_old_python_is_one_sentence(tmp_path):
    program = (
        "import sys, runpy\nsys.version_info = (3, 9, 2)\nsys.argv = ['install.py']\n"
        f"runpy.run_path({str(INSTALL)!r}, run_name='__main__')"
    )
    failed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert failed.returncode == 1
    assert "needs Python 3.11 or newer" in failed.stderr and "is Python 3.9" in failed.stderr
    assert "\n" not in failed.stderr.strip()


def test_the_file_is_readable_for_old_pythons():
    import ast

    ast.parse(INSTALL.read_text(), feature_version=(3, 4))
