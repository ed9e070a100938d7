"""Named profiles of clusters, in TOML.

::

    ~/.config/labkit/clusters.toml     of the user
    labkit-clusters.toml               of the project: in the notebook's folder or one above it

A profile is a table ``[profiles.NAME]`` whose keys are the fields of
:class:`~labkit.cluster.options.ClusterOptions`. Where both files have one of the same name, the
project's is taken, as a whole. Options of the command line win over both.
"""

from __future__ import annotations

import datetime
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from labkit.cluster.option_checks import check_name
from labkit.cluster.options import KINDS, ClusterOptions, check_field_names, is_path
from labkit.errors import UsageError

PROJECT_FILE = "labkit-clusters.toml"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile as it is written in a file; checked value by value."""

    name: str
    values: Mapping[str, object]
    path: Path

    @property
    def kind(self) -> str:
        """Of the cluster."""
        return str(self.values["kind"])


def user_file() -> Path:
    """The user's file of profiles, there or not."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "labkit", "clusters.toml")


def project_file(folder: Path | None = None) -> Path | None:
    """The project's file of profiles: the nearest, in ``folder`` or above it."""
    start = Path.cwd() if folder is None else Path(folder).absolute()
    return next((path / PROJECT_FILE for path in (start, *start.parents) if (path / PROJECT_FILE).is_file()), None)


def load_profiles(folder: Path | None = None) -> dict[str, Profile]:
    """All profiles of the user and of the project around ``folder``, by name.

    Raises
    ------
    UsageError
        A file cannot be read, is no TOML, belongs to somebody else, or has a wrong key or value;
        the message says file, profile and key.
    """
    profiles: dict[str, Profile] = {}
    if user_file().is_file():
        profiles |= read_profiles(user_file())
    project = project_file(folder)
    if project is not None:
        _check_owner(project, Path.cwd() if folder is None else Path(folder))
        profiles |= read_profiles(project)
    return profiles


def read_profiles(path: Path) -> dict[str, Profile]:
    """The profiles of one file, by name. Errors as of :func:`load_profiles`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}. Correct its permissions, or remove it.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not valid TOML: {error}. Texts need quotes; labkit cluster profiles --example shows the form."
        ) from None
    for key in tables:
        if key != "profiles":
            raise UsageError(f"{path}: there is no table {key!r} here. Write profiles as [profiles.NAME].")
    profiles = tables.get("profiles", {})
    if not isinstance(profiles, dict):
        raise UsageError(f"{path}: profiles is of type {type(profiles).__name__}. Write profiles as [profiles.NAME].")
    return {name: _profile(path, name, values) for name, values in profiles.items()}


def example_profiles() -> str:
    """The commented example of a file of profiles."""
    return resources.files("labkit.cluster").joinpath("example_profiles.toml").read_text(encoding="utf-8")


def overview(folder: Path | None = None) -> str:
    """A line for each profile: its name, its kind, how many ranks it asks for, and the file that it is from."""
    profiles = load_profiles(folder)
    if not profiles:
        return (
            f"No profiles in {user_file()} or a {PROJECT_FILE}. labkit cluster profiles --example shows "
            f"how to write one."
        )
    rows = [("NAME", "KIND", "RANKS", "FILE")]
    rows += [(name, profile.kind, _num_ranks(profile), str(profile.path)) for name, profile in sorted(profiles.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _num_ranks(profile: Profile) -> str:
    try:
        return str(ClusterOptions(**profile.values).num_ranks)
    except UsageError:  # words have to add something
        return "-"


def _profile(path: Path, name: str, values: object) -> Profile:
    where = f"{path}, [profiles.{name}]"
    if not isinstance(values, dict):
        raise UsageError(f"{path}: profiles.{name} = {values!r} is no table. Write [profiles.{name}], its keys below.")
    try:
        check_name(name)
    except UsageError as error:
        raise UsageError(f"{where}: the name of a profile is the name of its cluster. {error}") from None
    if name in KINDS:
        raise UsageError(f"{where}: {name} is a kind of cluster. Choose another name, for example my-{name}.")
    check_field_names(values, where)
    if "kind" not in values:
        raise UsageError(f"{where}: the key kind is missing. Write kind = one of {', '.join(map(repr, KINDS))}.")
    values = {key: _value(path, key, value) for key, value in values.items()}
    _check_values(where, values)
    return Profile(name, values, path)


def _value(path: Path, key: str, value: object) -> object:
    if isinstance(value, datetime.time):  # what an unquoted 01:30:00 is in TOML
        return value.isoformat()
    if isinstance(value, str) and value and is_path(key, value):
        return os.path.join(path.parent.absolute(), os.path.expanduser(value))  # relative to the file
    return value


def _check_values(where: str, values: Mapping[str, object]) -> None:
    """Each value by itself, so that the message can name its key; words may add what is missing."""
    hosts = {"hosts": ("host",)} if values["kind"] == "ssh" else {}
    for key, value in values.items():
        if key == "num_nodes" and hosts:
            continue  # has to be the number of hosts
        try:
            ClusterOptions(**{**hosts, "kind": values["kind"], key: value})
        except UsageError as error:
            raise UsageError(f"{where}, {key}: {error}") from None


def _check_owner(path: Path, folder: Path) -> None:
    """Refuse a stranger's file: its lines are run as the user, and folders above may be writable for all."""
    owner = path.stat().st_uid
    if owner not in (0, os.getuid(), folder.stat().st_uid):
        raise UsageError(
            f"{path} belongs to another user (id {owner}), and its lines would be run as you. If you trust it, "
            f"copy it into the folder of your notebook."
        )
