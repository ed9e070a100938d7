"""Which folders Python needs, and what is left of folders when parts of them are hidden."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

SYSTEM = tuple(map(Path, ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/nix/store", "/gnu/store")))
SYSTEM_FILES = tuple(Path("/etc", name) for name in (
    "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "hosts", "nsswitch.conf", "passwd", "group",
    "localtime", "timezone",
))
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "random", "urandom"))


def python_folders() -> list[Path]:
    """What this Python reads: its prefixes, standard library, site packages, shared libraries, and labkit.

    Folders inside other folders of the list are left out, and so is what ``PYTHONPATH`` names: the folder around
    labkit may hold the exercises.
    """
    named = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sysconfig.get_paths().values()]
    named += os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if site.ENABLE_USER_SITE:
        named.append(site.getusersitepackages())
    named += _links(Path(sys.executable))
    found = [Path(__file__).parents[2], *(Path(name) for name in named if os.path.isabs(name))]
    return outermost(path for path in found if path.exists() and path != Path("/"))


def outermost(paths: Iterable[Path]) -> list[Path]:
    """The paths without those inside another one, in order.

    >>> [str(path) for path in outermost([Path("/usr/lib"), Path("/usr"), Path("/opt")])]
    ['/usr', '/opt']
    """
    unique = dict.fromkeys(Path(path) for path in paths)
    return [path for path in unique if not any(parent in unique for parent in path.parents)]


def _links(path: Path) -> list[str]:
    """The folders of a link, of what it points to, and so on: bubblewrap shows each or the link is broken."""
    found = []
    while path.is_symlink() and len(found) < 40:
        path = path.parent / path.readlink()
        found.append(os.path.normpath(path.parent))
    return found


def visible(readable: Iterable[Path], hidden: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """What is left of ``readable`` without ``hidden``: paths that are wholly readable, and folders that may be listed.

    Landlock can allow and cannot except. So a folder with something hidden in it is replaced by what else it has,
    and stays listable, because Python lists a folder before it imports from it. Links are left out: what they point
    to must be allowed for itself.
    """
    hidden = [Path(os.path.realpath(path)) for path in hidden]
    whole, listed = [], []
    waiting = [Path(os.path.realpath(path)) for path in readable]
    while waiting:
        path = waiting.pop()
        if not path.exists() or is_inside(path, hidden):
            continue
        if not any(other.is_relative_to(path) for other in hidden):
            whole.append(path)
        else:
            listed.append(path)
            waiting += [child for child in path.iterdir() if not child.is_symlink()]
    return outermost(whole), listed


def is_inside(path: Path, folders: Iterable[Path]) -> bool:
    """Whether ``path`` is one of ``folders`` or inside one."""
    return any(path.is_relative_to(folder) for folder in folders)
