"""Profiles of clusters: found, layered, and refused with file and key."""

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import labkit
from labkit.cluster.option_words import parse_start
from labkit.cluster.options import KINDS
from labkit.cluster.profiles import example_profiles, load_profiles, project_file, user_file
from labkit.errors import UsageError


class Home:
    """A user's home and a project, with a file of profiles each."""

    def __init__(self, root: Path):
        self.project = root / "project"
        self.notebooks = self.project / "week 1" / "notebooks"
        self.notebooks.mkdir(parents=True)
        user_file().parent.mkdir(parents=True)

    def user(self, text):
        user_file().write_text(text)

    def in_project(self, text):
        (self.project / "labkit-clusters.toml").write_text(text)

    def start(self, line):
        return parse_start(shlex.split(line), self.notebooks)

    def refused(self, line="p"):
        with pytest.raises(UsageError) as error:
            self.start(line)
        return str(error.value)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Home(tmp_path)


def test_where_the_users_file_is(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_file() == tmp_path / ".config/labkit/clusters.toml"


def test_project_wins_over_user_and_words_over_both(home):
    home.user('[profiles.p]\nkind = "slurm"\npartition = "mine"\n[profiles.q]\nkind = "pbs"\ntime = 30')
    assert home.start("p").options.partition == "mine"
    home.in_project('[profiles.p]\nkind = "slurm"\ntime = "1:00:00"\naccount = "course"\nmodules = ["a", "b"]')
    request = home.start("p --account other --module c")
    options = request.options
    assert (request.profile, options.name, options.kind) == ("p", "p", "slurm")
    assert (options.partition, options.time, options.account) == (None, "01:00:00", "other")
    assert options.modules == ("c",)
    assert home.start("p --name x").options.name == "x"
    assert home.start("--profile q").options == home.start("q").options == home.start("pbs --profile q").options
    assert sorted(load_profiles(home.notebooks)) == ["p", "q"]


def test_the_nearest_project_file_counts(home):
    home.in_project('[profiles.p]\nkind = "slurm"')
    (home.notebooks / "labkit-clusters.toml").write_text('[profiles.p]\nkind = "lsf"')
    assert home.start("p").options.kind == "lsf"
    assert parse_start(["p"], home.project).options.kind == "slurm"
    assert project_file(home.notebooks).parent == home.notebooks


def test_a_shape_in_words_replaces_that_of_the_profile(home):
    home.user('[profiles.p]\nkind = "slurm"\nnum_nodes = 2\nranks_per_node = 4')
    shapes = {
        "p": [4, 4],
        "p -n 16": [4, 4, 4, 4],
        "p -n 6": [4, 2],
        "p --nodes 3": [4, 4, 4],
        "p -n 6 --nodes 2": [3, 3],
        "p --ranks-per-node 2": [2, 2],
    }
    for line, shape in shapes.items():
        assert home.start(line).options.ranks_by_node() == shape, line


def test_paths_mean_the_folder_of_the_file(home, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    home.in_project(
        '[profiles.p]\nkind = "slurm"\nenvironment = "my venv"\nfolder = "~/x"\npython = "./bin/python"\n'
        '[profiles.q]\nkind = "slurm"\nenvironment = "conda activate labkit"\npython = "python3.12"'
    )
    options = home.start("p").options
    assert options.environment == str(home.project / "my venv") and options.environment_is_path
    assert (options.folder, options.python) == ("/home/me/x", str(home.project / "bin/python"))
    options = home.start("q").options
    assert (options.environment, options.python) == ("conda activate labkit", "python3.12")
    assert not options.environment_is_path


def test_an_unquoted_time_is_understood(home):
    home.user('[profiles.p]\nkind = "slurm"\ntime = 01:30:00')
    assert home.start("p").options.time == "01:30:00"


@pytest.mark.parametrize(
    "text,parts",
    [
        ("[profiles.p\n", ["not valid TOML", "line 1"]),
        ("[profiles.p]\nkind = slurm", ["not valid TOML", "Texts need quotes"]),
        ('[profile.p]\nkind = "slurm"', ["no table 'profile'", "[profiles.NAME]"]),
        ("profiles = 3", ["profiles is of type int", "[profiles.NAME]"]),
        ("[profiles]\np = 3", ["profiles.p = 3", "[profiles.p]"]),
        ('[profiles.p]\ntime = "30"', ["[profiles.p]", "kind is missing"]),
        ('[profiles.p]\nkind = "slurm"\npartiton = "x"', ["[profiles.p]", "'partiton'", "Did you mean 'partition'?"]),
        ('[profiles.p]\nkind = "slrum"', ["[profiles.p], kind", "'slrum'", "Choose one of"]),
        ('[profiles.p]\nkind = "slurm"\ntime = "1h"', ["[profiles.p], time", "'1h'", "D-HH:MM:SS"]),
        ('[profiles.p]\nkind = "slurm"\nnum_nodes = "2"', ["[profiles.p], num_nodes", "'2'", "whole number"]),
        ('[profiles.p]\nkind = "slurm"\nmodules = "gcc"', ["[profiles.p], modules", "['gcc']"]),
        ('[profiles.p]\nkind = "slurm"\npartition = "a\\nb"', ["[profiles.p], partition", "one line"]),
        ('[profiles.p]\nkind = "ssh"\ntime = 30', ["[profiles.p], time", "kind ssh"]),
        ('[profiles.slurm]\nkind = "slurm"', ["slurm is a kind of cluster", "my-slurm"]),
        ('[profiles."a b"]\nkind = "slurm"', ["[profiles.a b]", "'a b'"]),
    ],
)
def test_errors_name_file_and_key(home, text, parts):
    home.user(text)
    message = home.refused()
    for part in [str(user_file()), *parts]:
        assert part in message


def test_a_file_that_cannot_be_read(home, monkeypatch):
    home.user('[profiles.p]\nkind = "slurm"')
    read = Path.read_text

    def refuse(path, *args, **kwargs):  # permissions do not stop root, who may run the tests
        if path == user_file():
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", refuse)
    assert f"{user_file()} cannot be read: Permission denied" in home.refused()


def test_a_file_that_is_no_text(home):
    user_file().write_bytes(b"\xff\xfe\x00")
    assert "not valid TOML" in home.refused()


def test_the_file_of_a_stranger_is_refused(home, monkeypatch):
    home.in_project('[profiles.p]\nkind = "slurm"')
    assert home.start("p").options.kind == "slurm"
    real = Path.stat

    def stat(path, **how):
        found = real(path, **how)
        if path.name != "labkit-clusters.toml":
            return found
        return os.stat_result([*found[:4], 54321, *found[5:10]])

    monkeypatch.setattr(Path, "stat", stat)
    message = home.refused()
    assert "belongs to another user (id 54321)" in message and "copy it" in message


def test_words_that_name_no_profile_or_two(home):
    home.user('[profiles.p]\nkind = "slurm"\n[profiles.q]\nkind = "slurm"')
    assert "The profiles are: p, q." in home.refused("r")
    assert "both name a profile" in home.refused("p --profile q")
    assert "this profile is of kind slurm" in home.refused("pbs --profile p")
    assert home.start("p --profile p").profile == "p"


def test_a_kind_needs_no_readable_file(home):
    home.user("broken [")
    assert home.start("slurm").options.kind == "slurm"


def test_hosts_may_be_given_later(home):
    home.user('[profiles.p]\nkind = "ssh"\nranks_per_node = 2')
    assert home.start("p --hosts a,b").options.num_ranks == 4
    assert "needs hosts" in home.refused("p")


def test_the_example_is_valid_and_shows_every_key(home):
    home.user(example_profiles())
    profiles = load_profiles(home.notebooks)
    assert {profile.kind for profile in profiles.values()} <= set(KINDS) and len(profiles) >= 4
    for name in profiles:
        assert home.start(name).options.name == name
    for line in example_profiles().splitlines():  # what the comments tell to type
        words = line.partition("cluster start ")[2].partition("   ")[0]
        if words:
            assert home.start(words).options.kind == "slurm"


@pytest.mark.timeout(110)
def test_the_example_is_in_the_package(tmp_path):
    """A wheel has the file: built by setuptools from a copy, without looking at the internet."""
    root = Path(labkit.__file__).parents[1]
    copy = tmp_path / "copy"
    (copy / "labkit").mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, copy)
    shutil.copytree(root / "labkit/cluster", copy / "labkit/cluster")
    shutil.copy(root / "labkit/__init__.py", copy / "labkit")
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "labkit/cluster/example_profiles.toml" in zipfile.ZipFile(next(copy.glob("*.whl"))).namelist()
