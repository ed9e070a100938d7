"""Why ranks of a job were lost: notes that they left, the end of the job, nodes that are down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from labkit.cluster.death import read_death_notes
from labkit.cluster.engines.base import Rank
from labkit.cluster.engines.job import Job
from labkit.cluster.engines.world import World
from labkit.errors import LabkitError

CAUSE_S = 6.0  # how long the batch system may take to notice what has happened
ENDING_S = 20.0  # ... and to say why a job is ending


def find_cause(job: Job, world: World, ranks: Sequence[Rank]) -> tuple[int | None, str]:
    """Which rank died and how, or what happened to the job or its nodes.

    Returns
    -------
    tuple of (int or None, str)
        The rank, if one died by itself; words that follow "rank 2" or "a rank". ``(None, "")`` if nobody knows.
    """
    guards = {(rank.host, rank.guard_pid): rank.rank for rank in ranks}
    hosts = list(dict.fromkeys(rank.host for rank in ranks))
    began = time.monotonic()
    while True:
        rank, words, bad = None, "", {}
        with contextlib.suppress(OSError):  # the folder is gone
            rank, words = read_death_notes(world.deaths, guards)
        job.ask()
        with contextlib.suppress(LabkitError):
            bad = job.scheduler.bad_nodes(hosts)
        waited = time.monotonic() - began
        if bad:
            return None, f"was lost: {job.scheduler.title} says that {words_for_nodes(bad)}"
        if job.has_ended and not job.is_ending:
            return None, f"was lost: {job.over_text()}"
        if rank is not None and not job.is_ending and (world.has_ended or waited > CAUSE_S / 2):
            return rank, words
        if world.job_has_ended and waited > CAUSE_S / 2:  # some batch systems forget a job at once
            return None, f"was lost: {job.over_text()} ({world.why_job_ended()})"
        if waited > (ENDING_S if job.is_ending else CAUSE_S):
            return None, ""
        time.sleep(0.1 if waited < 1 else 0.5)


def words_for_silence(missing: Sequence[Rank], silent_s: float) -> str:
    """That ranks have not been heard of for some seconds."""
    hosts = ", ".join(sorted({rank.host for rank in missing}))
    ranks = ", ".join(str(rank.rank) for rank in missing)
    return (
        f"does not answer any more: no sign of rank {ranks} on {hosts} for {silent_s:g} s, so the node or its network is down"
    )


def words_for_nodes(states: dict[str, str]) -> str:
    """What is wrong with nodes, by the scheduler's words for them.

    Examples
    --------
    >>> words_for_nodes({"n2": "mixed*", "n1": "down*"})
    'node n1 is down, node n2 does not answer: a crash, or the network between'
    """
    names = ", ".join(
        f"node {node} does not answer" if state.endswith("*") and not state.startswith("down")
        else f"node {node} is {state.strip('*')}"
        for node, state in sorted(states.items())
    )
    return f"{names}: a crash, or the network between"
