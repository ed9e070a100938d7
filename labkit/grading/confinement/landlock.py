"""Landlock: the kernel lets this process read the given files, and no others, and write none."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.grading.confinement.libc import syscall

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on all machines
READ_FILE, READ_DIR = 1 << 2, 1 << 3
# Rights that can be taken away, by version of the interface: 1 execute .. make links, 2 move between folders,
# 3 truncate, 5 ioctl of devices; 4 TCP; 6 abstract sockets and signals of outsiders.
NUM_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
BIND_TCP_AND_CONNECT_TCP = 0b11
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr; an older kernel takes it if the fields it does not know are zero."""

    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_version() -> int:
    """The version of this kernel's Landlock; 0 if there is none or it is switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return syscall(CREATE_RULESET, ctypes.c_void_p(), ctypes.c_size_t(0), 1)
    except OSError:
        return 0


def make_rules(readable: Sequence[Path], listable: Sequence[Path] = ()) -> int:
    """Rules for :func:`restrict`: read beneath ``readable``, list ``listable``, nothing else.

    Returns
    -------
    int
        A file descriptor. Forked processes may share it; close it after use.

    Raises
    ------
    NotAvailableError
        This kernel has no Landlock.
    """
    version = landlock_version()
    if not version:
        raise NotAvailableError(
            "this kernel has no Landlock (Linux 5.13 and newer have it): use bubblewrap, or limits only."
        )
    ruleset = _Ruleset(
        (1 << NUM_FILE_RIGHTS[min(version, 5)]) - 1, BIND_TCP_AND_CONNECT_TCP if version >= 4 else 0,
        ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    rules = syscall(CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(ctypes.sizeof(ruleset)), 0)
    for path in readable:
        _allow(rules, path, READ_FILE | READ_DIR if path.is_dir() else READ_FILE)
    for path in listable:
        _allow(rules, path, READ_DIR)
    return rules


def restrict(rules: int) -> None:
    """Hold the calling thread, and threads and processes that it starts later, to the rules, for good.

    Files that are open stay open. Needs ``PR_SET_NO_NEW_PRIVS`` (:func:`.limits.drop_privileges`).
    """
    syscall(RESTRICT_SELF, rules, 0)


def _allow(rules: int, path: Path, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath, path_beneath = _Beneath(rights, folder), 1
        syscall(ADD_RULE, rules, path_beneath, ctypes.byref(beneath), 0)
    finally:
        os.close(folder)
