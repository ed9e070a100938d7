"""Who computes on a long array: a team of threads, or the calling thread alone."""

from __future__ import annotations

import functools

from labkit.errors import NotAvailableError, UsageError

ALONE = object()
SHORTEST_FOR_THREADS = 1 << 16  # below, a team is not worth starting


@functools.cache
def _team():
    from labkit.openmp.team import Team

    return Team()


def choose_team(team, num_terms: int):
    """``team``, or for many terms one thread a core; None where the calling thread does it alone, as with ALONE."""
    if team is ALONE:
        return None
    if team is not None:
        if not hasattr(team, "parallel_for"):
            raise UsageError(f"team is a labkit.openmp.team.Team or None, not {team!r}: pass for example Team(2).")
        return team
    if num_terms < SHORTEST_FOR_THREADS:
        return None
    try:
        return _team()
    except NotAvailableError:  # no OpenMP runtime: the same result on one thread
        return None
