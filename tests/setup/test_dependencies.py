"""One place for dependencies: pyproject.toml, constraints.txt, environment.yml and .venv agree."""

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(text) for text in PROJECT["dependencies"]]
EXTRA = [Requirement(text) for texts in PROJECT["optional-dependencies"].values() for text in texts]
# PyTorch's package for GPUs asks for one version of triton, its package for CPUs for none: a pin could contradict it.
UNPINNED = {"triton"}
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([^#=\s]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
}


@pytest.mark.parametrize("requirement", DIRECT + EXTRA, ids=str)
def test_every_dependency_is_pinned_within_its_bounds_and_installed(requirement):
    name = canonicalize_name(requirement.name)
    pin = importlib.metadata.version(requirement.name) if name in UNPINNED else PINS[name]
    assert requirement.specifier.contains(pin)
    assert importlib.metadata.version(requirement.name).split("+")[0] == pin


def test_everything_installed_is_pinned():
    for distribution in importlib.metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"])
        if name not in {"labkit", "pip", "setuptools", "wheel"} | UNPINNED:
            assert PINS.get(name) == distribution.version.split("+")[0], name


def test_conda_users_get_the_same():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert f"python{PROJECT['requires-python']}" in conda
    assert "-e .[serving]" in pip  # as make lab
    listed = {str(Requirement(text)) for text in pip if not text.startswith("-")}
    assert listed == {str(requirement) for requirement in DIRECT}


def test_torch_is_exact():
    assert str(next(r for r in DIRECT if r.name == "torch").specifier) == "==2.13.0"
