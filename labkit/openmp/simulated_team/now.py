"""The region that runs now on simulated threads: one at a time in a Python thread, whose greenlets take turns."""

from __future__ import annotations

import threading

from labkit.errors import UsageError


class Now(threading.local):
    """What runs now in this Python thread.

    Attributes
    ----------
    region : labkit.openmp.simulated_team.regions.Region or None
    """

    region = None

    def running(self):
        """The region that runs.

        Raises
        ------
        UsageError
            None does.
        """
        if self.region is None:
            raise UsageError(
                "barrier, critical, thread_num and so on are for bodies of a region: call them in a function that is "
                "run by SimulatedTeam.parallel, parallel_for or tasks."
            )
        return self.region


now = Now()
