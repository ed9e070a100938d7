"""One zygote for the checks of a session: the next check need not wait for a new one to import NumPy and MPI."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.grading.confinement.sandbox import find_sandbox
from labkit.grading.remote.sandboxed import Zygote

_idle: list[tuple[int, Zygote]] = []  # at most one, and the process that it belongs to


@contextlib.contextmanager
def kept_zygote() -> Iterator[Zygote]:
    """The zygote of this session, for one check.

    It holds nothing of an answer: answers run in processes that it forks, and those end with their check. It ends with
    this process, and after any exception, the Stop button's too, because nobody knows what it was doing then.

    Raises
    ------
    NotAvailableError
        No process can be started.
    """
    zygote = _take() or _start()
    try:
        yield zygote
    except BaseException:
        zygote.close()
        raise
    if _idle:  # of a check in another thread
        zygote.close()
    else:
        _idle.append((os.getpid(), zygote))


def close_kept() -> None:
    """End the zygote, if there is one."""
    while _idle:
        owner, zygote = _idle.pop()
        if owner == os.getpid():  # a forked copy of this process leaves it to its owner
            zygote.close()


def _take() -> Zygote | None:
    """The idle one, if it is as good as a new one."""
    with contextlib.suppress(IndexError):
        owner, zygote = _idle.pop()
        if owner != os.getpid():
            return None
        if zygote.process.poll() is None and zygote.sandbox == find_sandbox() and _emptied(Path(zygote.folder.name)):
            return zygote
        zygote.close()
    return None


def _start() -> Zygote:
    try:
        return Zygote()
    except OSError as error:
        raise NotAvailableError(f"no process could be started to run the answer in: {error}. Run labkit doctor.") from None


def _emptied(folder: Path) -> bool:
    """Whether nothing is left in the scratch folder; answers cannot write there, where the machine can forbid it."""
    try:
        for path in folder.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()
        return not any(folder.iterdir())
    except OSError:
        return False


atexit.register(close_kept)
