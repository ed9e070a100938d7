"""What a cluster's controller does besides: it shows the job that somebody is there, and ends with its owner.

It runs in the controller's process, which lives on when a notebook is killed: so it is the one
that can still cancel the job.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from labkit.cluster.folder import remove_folder
from labkit.errors import LabkitError

SIGN_EVERY_S = 5.0
ASK_EVERY_S = 60.0  # the batch system; it is asked gently

CONTROLLER_CONFIG = """\
# Written by labkit: the controller looks after the job of its engines.
import os
from labkit.cluster.watch import look_after

if os.getpgrp() == os.getpid():
    look_after({folder!r}, {name!r}, {owner!r})
"""


def look_after(folder: str, name: str, owner_pid: int | None) -> threading.Thread:
    """Write signs of life; end the job and this process group when the owner is gone, or the group when the job is.

    Parameters
    ----------
    folder : str
        Of the cluster.
    name : str
        Of its record.
    owner_pid : int or None
        The process of this machine with which the cluster ends; None for one that is kept.
    """
    from labkit.cluster.owner import end_with

    writing = threading.Lock()

    def end() -> None:
        from labkit.cluster import registry

        writing.acquire()  # for good: a sign written now would keep the folder from being removed
        cancel_recorded_job(name, folder)
        with contextlib.suppress(LabkitError):
            registry.remove(name, folder)
        remove_folder(folder)
        os.killpg(os.getpgrp(), signal.SIGTERM)

    if owner_pid is not None:
        end_with(owner_pid, end)
    thread = threading.Thread(target=_sign, args=(Path(folder), name, end, writing), daemon=True, name="labkit watch")
    thread.start()
    return thread


def _sign(folder: Path, name: str, end: Callable[[], None], writing: threading.Lock) -> None:
    asked = time.monotonic()
    for number in itertools.count():
        if not folder.is_dir():
            end()
        try:
            with writing:
                (folder / "alive").write_text(str(number))
        except OSError:
            continue
        finally:
            time.sleep(SIGN_EVERY_S)
        if time.monotonic() - asked > ASK_EVERY_S:
            asked = time.monotonic()
            if recorded_job_ended(name, str(folder)):
                end()


def cancel_recorded_job(name: str, folder: str) -> None:
    """Cancel the job of the cluster with this folder, if it has one; never raises."""
    from labkit.cluster import registry
    from labkit.cluster.schedulers import find_scheduler

    try:
        record = registry.load(name)
        if record.job_id and record.folder == folder:  # another cluster may have taken the name
            find_scheduler(record.kind).cancel(record.job_id)
    except Exception:  # there is nobody to tell
        pass


def recorded_job_ended(name: str, folder: str) -> bool:
    """Whether the batch system says that the job of the cluster with this folder has ended."""
    from labkit.cluster import registry
    from labkit.cluster.schedulers import find_scheduler

    try:
        record = registry.load(name)
        if not record.job_id or record.folder != folder:
            return False
        return find_scheduler(record.kind).state(record.job_id).word == "ended"
    except Exception:  # it does not answer: that is no answer
        return False
