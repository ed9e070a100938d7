"""The clock of the ranks: real seconds, or the virtual seconds of a simulator."""

from __future__ import annotations


def wall_time() -> float:
    """Seconds since some fixed moment: ``MPI.Wtime()``, looked up at each call.

    Notes
    -----
    Looked up at each call, so that a simulator that replaces ``MPI.Wtime`` is heard, and so that importing
    the ideas starts no MPI. The look-up costs well under a microsecond: read it around loops, not inside.
    """
    from mpi4py import MPI

    return MPI.Wtime()
