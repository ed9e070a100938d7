"""The answer's side of a case for a team of threads: simulated threads that report what happened, or real ones.

The simulation runs in the process of the answer, as an access to every element would otherwise be a message. So its
report measures honest answers, and one that takes this module apart can falsify it; whether values are right is decided
by the judge. On real threads kernels are compiled, which is prepared before this process is confined.
"""

from __future__ import annotations

import importlib
import sys

from labkit.errors import DeadlockError, KernelError
from labkit.grading.remote.calls import TEAM

MOST_TOLD = 5
FORGOTTEN = ("numba", "llvmlite", "labkit.openmp")
NEEDED = ("tasks", "team", "forked", "simulate", "simulated_team.team", "simulated_team.loops")


def prepare() -> None:
    """Import what simulated and real threads need, and let Numba and LLVM load what they load at a first compilation.

    No threads are started: this process is forked afterwards, and a pool of threads would not come along.
    """
    import numba
    from numba.core.dispatcher import Dispatcher

    from labkit.openmp import interrupt, sync
    from labkit.openmp.runtime import load

    for name in NEEDED:
        importlib.import_module(f"labkit.openmp.{name}")
    load()
    interrupt.watch = lambda block: None  # there is no Stop button here, and no socket can be made
    Dispatcher.enable_caching = lambda self: None  # an answer writes no files; cache=True means nothing here

    @numba.njit(nogil=True)
    def warm(team, x):
        start, stop = sync.static_block(x.size)
        for i in range(start, stop):
            sync.atomic_add(x, 0, x[i])
        sync.barrier(team)
        return x[start:stop].sum()

    warm.compile((numba.int64[::1], numba.float64[::1]))


def forget() -> None:
    """Let Numba be as it is where nobody has prepared it: the points of an answer do not depend on those before it."""
    for name in [name for name in sys.modules if name.startswith(FORGOTTEN)]:
        del sys.modules[name]


class TeamCall:
    """A call of the answer with a team.

    Parameters
    ----------
    setup : dict
        ``num_threads``, ``seed``, ``compiled``.
    given : list
        The other arguments.
    """

    def __init__(self, setup: dict, given: list):
        self.given, self.is_compiled = given, setup["compiled"]
        if self.is_compiled:
            from labkit.openmp.team import Team

            self.team, self.arguments = Team(setup["num_threads"]), list(given)
            return
        from labkit.openmp.simulated_team.arrays import watched
        from labkit.openmp.simulated_team.team import SimulatedTeam

        self.team = SimulatedTeam(setup["num_threads"], seed=setup["seed"], raises=True)
        self.arguments = [watched(value, f"argument {number}") for number, value in enumerate(given)]

    def run(self, function) -> dict:
        """What the answer returns, its arguments afterwards, and the report."""
        from labkit.openmp.simulated_team.arrays import data_of, mapped

        found = None
        try:
            found = mapped(function(self.team, *self.arguments), data_of)
        except DeadlockError:
            pass  # the report tells
        except KernelError as error:
            raise error.__cause__ or error from None
        return {"return": found} | dict(enumerate(self.given)) | {TEAM: self._report()}

    def _report(self) -> dict | None:
        if self.is_compiled:
            return None
        reports = self.team.reports
        races = [race for report in reports for race in report.races]
        outside = sum(value._of.num_outside for value in self.arguments if hasattr(value, "_of"))
        return {
            "races": [race.text() for race in races[:MOST_TOLD]],
            "lines": sorted({(a.line, a.source) for race in races[:MOST_TOLD] for a in (race.first, race.second)}),
            "num_races": len(races),
            "deadlock": next((report.deadlock for report in reports if report.deadlock), ""),
            "num_regions": len(reports),
            "num_path_accesses": outside + sum(report.num_path_accesses for report in reports),
        } | {
            name: sum(getattr(report, name) for report in reports)
            for name in (
                "num_criticals", "num_atomics", "num_barriers", "num_shared_line_writes", "num_tasks",
                "num_ordered_pairs",
            )
        }
