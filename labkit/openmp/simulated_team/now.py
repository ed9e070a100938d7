"""The region that runs now on simulated threads, if one does: one at a time in a process, as greenlets take turns."""

from __future__ import annotations

from labkit.errors import UsageError

region = None


def running():
    """The region that runs.

    Raises
    ------
    UsageError
        None does.
    """
    if region is None:
        raise UsageError(
            "barrier, critical, thread_num and so on are for bodies of a region: call them in a function that is run "
            "by SimulatedTeam.parallel, parallel_for or tasks."
        )
    return region
