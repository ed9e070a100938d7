"""What each rank does at this moment, read from what ipyparallel's client has heard; nobody is asked."""

from __future__ import annotations

import os
from dataclasses import dataclass

from labkit.cluster.engines import Engines


@dataclass(frozen=True, slots=True)
class RankActivity:
    """A rank and what it does: ``state`` is ``"idle"``, ``"computing"``, ``"waiting"`` or ``"died"``."""

    rank: int
    host: str
    gpu: str
    state: str
    text: str


def activity(engines: Engines) -> tuple[RankActivity, ...]:
    """What the ranks of a set of engines do, in rank order; () when none run.

    May be called from any thread, also while a cell runs.
    """
    client, ranks = engines._client, list(engines.ranks)
    if client is None or not ranks:
        return ()
    alive = dict(client._engines)  # engine's number -> its identity
    found = []
    for rank in ranks:
        if rank.engine_id not in alive:
            state, text = "died", "does not answer any more"
        else:
            state, text = _busy_with(client, alive[rank.engine_id])
        found.append(RankActivity(rank.rank, rank.host, rank.gpu, state, text))
    return tuple(found)


def is_busy(engines: Engines) -> bool:
    """Whether a cell, or something else, runs on a rank."""
    return any(one.state in ("computing", "waiting") for one in activity(engines))


def ask_num_cpus(engines: Engines) -> dict[str, object]:
    """Ask one rank of each machine how many CPUs it may use: host -> ipyparallel's AsyncResult of a number."""
    first = {}
    for rank in engines.ranks if engines._client is not None else ():
        first.setdefault(rank.host, rank)
    return {host: engines.submit(rank, _num_cpus) for host, rank in first.items()}


def _busy_with(client, identity: str) -> tuple[str, str]:
    tasks = client._outstanding_dict[identity].copy() & client.outstanding.copy()
    if not tasks:
        return "idle", "waits for a cell"
    for task in tasks:
        report = client.metadata[task]["data"].get("wait") if task in client.metadata else None
        if report is not None:
            return "waiting", report.text
    return "computing", "computes"


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
