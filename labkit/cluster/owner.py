"""A process that ends when the process it serves is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

CHECK_EVERY_S = 1.0


def end_with(owner_pid: int, end: Callable[[], None]) -> threading.Thread:
    """Call ``end()`` once process ``owner_pid`` of this machine is gone. Returns the watching thread."""
    import psutil

    try:
        owner = psutil.Process(owner_pid)
    except psutil.NoSuchProcess:
        owner = None

    def watch():
        # is_running() knows a reused process id from the original
        while owner is not None and owner.is_running() and owner.status() != psutil.STATUS_ZOMBIE:
            time.sleep(CHECK_EVERY_S)
        end()

    def guarded():
        try:
            watch()
        except psutil.NoSuchProcess:
            end()

    thread = threading.Thread(target=guarded, daemon=True, name="labkit owner")
    thread.start()
    return thread


def write_launcher(path: str, pid: int) -> None:
    """Note a process that leads its own group, for :func:`end_launcher`."""
    import psutil

    with open(path, "w") as file:
        file.write(f"{pid} {psutil.Process(pid).create_time()}")


def end_launcher(path: str) -> None:
    """Tell the process that is noted in a file, if it is still the same, to end."""
    import psutil

    try:
        with open(path) as file:
            pid, created = file.read().split()
        process = psutil.Process(int(pid))
        if abs(process.create_time() - float(created)) < 0.1:
            process.terminate()
    except (OSError, ValueError, psutil.Error):  # none was started, or it has ended
        pass
