"""The rules inside Python: refusals in sentences, and modules that cannot be imported.

An audit hook cannot be removed and hears of every ``open``, ``socket``, ``os.fork`` and so on, by whatever route
Python code takes there. Native code (ctypes) can get around it; seccomp and Landlock are the walls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REFUSED = {
    "os.system": "start other programs", "os.exec": "start other programs", "os.posix_spawn": "start other programs",
    "os.spawn": "start other programs", "os.startfile": "start other programs",
    "subprocess.Popen": "start other programs", "pty.spawn": "start other programs",
    "os.fork": "start other processes", "os.forkpty": "start other processes",
    "os.kill": "send signals", "os.killpg": "send signals",
    "os.remove": "delete files", "os.rmdir": "delete folders", "shutil.rmtree": "delete folders",
    "os.rename": "move files", "shutil.move": "move files", "os.mkdir": "make folders", "os.link": "make links",
    "os.symlink": "make links", "os.truncate": "change files", "os.chmod": "change files", "os.chown": "change files",
    "os.chflags": "change files", "os.utime": "change files", "os.setxattr": "change files",
    "os.removexattr": "change files", "tempfile.mkstemp": "make files", "tempfile.mkdtemp": "make folders",
    "shutil.copyfile": "make files", "shutil.make_archive": "make files", "shutil.unpack_archive": "make files",
    "resource.setrlimit": "change its limits", "resource.prlimit": "change its limits",
    "ctypes.dlopen": "load native libraries", "ctypes.dlsym": "call native functions by name",
    "ctypes.call_function": "call native functions by address", "ctypes.string_at": "read memory by address",
    "ctypes.wstring_at": "read memory by address",
}
SOCKETS_ALLOWED = ("socket.sendmsg", "socket.gethostname")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
READING_EVENTS = ("open", "os.listdir", "os.scandir")


def install(*, readable: Sequence[Path], hidden: Sequence[Path], blocked: Sequence[str]) -> None:
    """Refuse, from now on and for good, what an answer may not do in this process.

    Parameters
    ----------
    readable : sequence of Path
        Files can be read beneath these (without links: ``os.path.realpath``),
    hidden : sequence of Path
        but not beneath these (without links).
    blocked : sequence of str
        Modules that cannot be imported, nor can what is inside them. Those that are loaded go from ``sys.modules``;
        whoever holds one keeps it.
    """
    is_blocked = _is_in(tuple(blocked))
    for name in [name for name in sys.modules if is_blocked(name)]:
        parent, _, child = name.rpartition(".")
        if hasattr(sys.modules.get(parent), child):
            delattr(sys.modules[parent], child)
    for name in [name for name in sys.modules if is_blocked(name)]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Blocker(is_blocked))
    sys.addaudithook(_hook(_beginnings(readable), _beginnings(hidden), is_blocked))


def _beginnings(paths: Sequence[Path]) -> tuple[str, ...]:
    return tuple(f"{path}/" for path in paths)


def _is_in(prefixes: tuple[str, ...]) -> Callable[[str], bool]:
    starts = tuple(f"{prefix}." for prefix in prefixes)
    return lambda name: name in prefixes or name.startswith(starts)


def _refused_import(name: str) -> ImportError:
    return ImportError(f"an answer may not import {name}.", name=name)


class _Blocker:
    """First on ``sys.meta_path``: ``importlib.import_module`` raises no audit event."""

    def __init__(self, is_blocked: Callable[[str], bool]):
        self._is_blocked = is_blocked

    def find_spec(self, name, path=None, target=None):
        if self._is_blocked(name):
            raise _refused_import(name)


def _hook(readable: tuple[str, ...], hidden: tuple[str, ...], is_blocked: Callable[[str], bool]):
    """The audit hook. All it needs is bound here: patching this module later changes nothing."""
    refused, reading, writes, allowed = dict(REFUSED), READING_EVENTS, WRITES, SOCKETS_ALLOWED
    fspath, fsdecode, realpath = os.fspath, os.fsdecode, os.path.realpath

    def hook(event: str, arguments: tuple) -> None:
        if event in refused:
            raise PermissionError(f"an answer may not {refused[event]}: {event}{arguments[:1]!r}"[:200])
        if event.startswith("socket.") and event not in allowed:
            raise PermissionError(f"an answer may not use the network: {event}")
        if event == "import" and is_blocked(arguments[0]):
            raise _refused_import(arguments[0])
        if event in reading:
            look_at_path(event, arguments)

    def look_at_path(event: str, arguments: tuple) -> None:
        path = "." if arguments[0] is None else arguments[0]
        if isinstance(path, int):  # a descriptor that is open already
            return
        path = fsdecode(fspath(path))
        if event == "open" and (arguments[2] & writes or any(letter in (arguments[1] or "") for letter in "wax+")):
            raise PermissionError(f"an answer may not open files for writing: {path!r}")
        real = f"{realpath(path)}/"
        if real.startswith(hidden) or not real.startswith(readable):
            raise PermissionError(f"an answer may read only what Python itself needs: {path!r}")

    return hook
