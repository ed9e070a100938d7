"""Collective algorithms measured on real MPI ranks of this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import UsageError
from labkit.hardware.messages import run_mpi
from labkit.mpi.collectives.registry import find

NUM_ROUNDS = 9
DEADLINE_S = 120


def measure_collectives(
    names: Sequence[str], num_ranks: int, sizes_bytes: Sequence[float], *, num_rounds: int = NUM_ROUNDS,
    deadline_s: float = DEADLINE_S,
) -> dict[str, list[tuple[float, float]]]:
    """Times of algorithms on ``num_ranks`` MPI ranks, each result checked before it is timed.

    Parameters
    ----------
    names : sequence of str
    num_ranks : int
        More than this machine has cores makes the times meaningless: ranks then wait for a core.
    sizes_bytes : sequence of float
        Of the whole buffer; rounded up to equal blocks where the operation needs them.
    num_rounds : int
        At least 9: the algorithms are timed in turn, and the median of the rounds is taken.
    deadline_s : float

    Returns
    -------
    dict of str to list of (bytes, seconds)
        By name, in the order of the sizes; a time is that of the slowest rank.

    Raises
    ------
    UsageError
        No algorithm, an unknown one, or fewer than 9 rounds.
    NotAvailableError
        No MPI, a wrong result, or no answer before the deadline.
    """
    if not names or num_ranks < 1 or num_rounds < 9:
        raise UsageError(
            f"a measurement needs an algorithm, a rank and 9 rounds or more, not {len(names)}, {num_ranks} and {num_rounds}."
        )
    for name in names:
        find(name)
    program = Path(__file__).with_name("measure_ranks.py")
    output = run_mpi([str(program), ",".join(names), json.dumps(list(sizes_bytes)), str(num_rounds)], num_ranks, deadline_s)
    times = json.loads(output.splitlines()[-1])
    return {name: [(size, seconds) for size, seconds in times[name]] for name in names}
