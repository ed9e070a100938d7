"""The clusters of this user: a small private file for each, so that any notebook or shell can find them."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from labkit.errors import UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TYPES = {
    "str": str, "dict": dict, "int": int, "float": (int, float), "int | None": (int, type(None)),
}


class NameTakenError(UsageError):
    """Another cluster has the name, perhaps since a moment ago."""


@dataclass
class ClusterRecord:
    """What is known of a cluster that has been started.

    ``owner_pid`` is the process that it ends with (None if it is kept), ``user_pid`` the notebook
    that works with it at present; both, as the controller, are on ``host``.
    """

    name: str
    kind: str
    folder: str
    options: dict  # that it was started with
    num_ranks: int
    job_id: str = ""
    host: str = field(default_factory=socket.gethostname)
    controller_pid: int = 0
    controller_created: float = 0.0
    owner_pid: int | None = None
    user_pid: int | None = None
    user_created: float = 0.0
    started: float = 0.0  # seconds since the epoch

    @property
    def kept(self) -> bool:
        return self.owner_pid is None

    def is_here(self) -> bool:
        """Whether its controller would be on this machine."""
        return self.host == socket.gethostname()

    def controller_runs(self) -> bool | None:
        """Whether its controller lives; None if that cannot be seen from this machine."""
        return is_process(self.controller_pid, self.controller_created) if self.is_here() else None

    def is_in_use(self) -> bool:
        """Whether another process works with it."""
        return self.user_pid not in (None, os.getpid()) and self.is_here() and is_process(self.user_pid, self.user_created)


def is_process(pid: int, created: float) -> bool:
    """Whether a process still runs; a reused number is another process."""
    import psutil

    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 0.1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def registry_folder() -> Path:
    """Where the records are: only this user can look inside."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state, "labkit", "clusters")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o777 != 0o700:
            folder.chmod(0o700)
    except OSError as error:
        raise UsageError(
            f"The list of your clusters cannot be kept: {error}. Make this folder writable for you, or name another "
            f"place in the variable XDG_STATE_HOME."
        ) from None
    return folder


def save(record: ClusterRecord, *, new: bool = False) -> None:
    """Write a record.

    Parameters
    ----------
    new : bool
        Whether the name has to be free: of two processes that want it, one gets it.

    Raises
    ------
    NameTakenError
        ``new``, and there is a cluster of that name.
    """
    path = _path(record.name)
    # A name of its own, and mode 0600: two processes may write at the same time.
    descriptor, part = tempfile.mkstemp(prefix=f".{record.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(asdict(record), indent=1))
        if not new or not _take(part, path):
            if new and _read(path) is not None:
                raise NameTakenError(
                    f"There is a cluster {record.name!r} already. Choose another name (--name), or end that one: "
                    f"%cluster stop {record.name}."
                )
            os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _take(part: str, path: Path) -> bool:
    """Put a record where none is, in one step; False if there is one, or if this file system has no links."""
    try:
        os.link(part, path)
        return True
    except OSError:
        return False


def load(name: str) -> ClusterRecord:
    """A cluster by its name.

    Raises
    ------
    UsageError
        There is none; the message names those that there are.
    """
    found = _read(_path(name))
    if found is None:
        names = [record.name for record in records()]
        raise UsageError(
            f"There is no cluster {name!r}. " + (f"There are: {', '.join(names)}." if names else "None is running: %cluster start.")
        )
    return found


def records() -> list[ClusterRecord]:
    """All clusters of this user, the oldest first; those that have ended and left a record are not among them."""
    found = [record for path in registry_folder().glob("*.json") if (record := _read(path)) is not None]
    living = []
    for record in found:
        if record.controller_runs() is False and not record.job_id:
            remove(record.name, record.folder)
        else:
            living.append(record)
    return sorted(living, key=lambda record: record.started)


def remove(name: str, folder: str) -> None:
    """Forget the cluster with this folder; another one may have taken its name."""
    path = _path(name)
    found = _read(path)
    if found is not None and found.folder == folder:
        path.unlink(missing_ok=True)


def free_name(kind: str) -> str:
    """``slurm``, ``slurm-2``, ...: the first that no cluster has; :func:`save` finds out whether it still is."""
    taken = {path.stem for path in registry_folder().glob("*.json")}
    return next(name for number in range(1, 10_000) if (name := kind if number == 1 else f"{kind}-{number}") not in taken)


def _path(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a cluster: letters, digits, '.', '_' and '-' can be used, at most 64.")
    return registry_folder() / f"{name}.json"


def _read(path: Path) -> ClusterRecord | None:
    try:
        record = ClusterRecord(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, RecursionError):  # removed meanwhile, or written by another version
        return None
    fits = all(isinstance(getattr(record, field.name), _TYPES[field.type]) for field in fields(ClusterRecord))
    return record if fits and record.name == path.stem else None
