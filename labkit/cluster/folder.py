"""Removing the folder of a cluster while processes of the cluster may still write into it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

MOST_TRIES = 20  # on a network file system a write that was under way takes its time


def remove_folder(folder: str | os.PathLike) -> None:
    """Remove a folder with all that is in it; never raises.

    A job that has been cancelled writes its last words, a controller a sign of life. ``shutil.rmtree`` alone fails
    on a file that appears between its look and its ``rmdir``, and leaves a folder that nobody removes any more. Under
    another name nobody finds the folder: whoever writes by path gets ``FileNotFoundError``, and only a write that was
    under way can still arrive.

    Parameters
    ----------
    folder : path
        May be gone already.
    """
    folder = Path(folder)
    hidden = folder.with_name(f".removed-{folder.name}-{os.getpid()}")
    try:
        folder.rename(hidden)
    except FileNotFoundError:
        return
    except OSError:  # the folder above may be read-only: then what is in it is removed, as far as that goes
        hidden = folder
    for number in range(MOST_TRIES):
        shutil.rmtree(hidden, ignore_errors=True)
        if not hidden.exists():
            return
        time.sleep(0.005 * number)
