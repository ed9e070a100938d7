"""Coming back to a cluster that another notebook, or a shell, has started and kept."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

from labkit.cluster.engines.base import SET_UP_TIMEOUT_S, quiet_log
from labkit.cluster.engines.batch import BatchEngines, connection_file
from labkit.cluster.engines.world import World
from labkit.cluster.options import ClusterOptions
from labkit.cluster.registry import ClusterRecord
from labkit.errors import EnginesError

BUSY_S = 15.0  # how long ranks may take to react to an interrupt


def reconnect(record: ClusterRecord, progress: Callable[[str], None] = lambda text: None) -> BatchEngines:
    """The engines of a cluster that is kept.

    Variables of the ranks are still there. What they were busy with is interrupted.

    Raises
    ------
    EnginesError
        It has ended, belongs to a notebook that runs, or is reached from another machine.
    """
    import ipyparallel

    _check_free(record)
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in record.options.items()}
    engines = BatchEngines(ClusterOptions(**options))
    engines.adopt(record)
    job = engines.job
    if job is not None:
        job.ask()
    if not record.controller_runs() or job is None or job.has_ended:
        why = f": {job.state.reason}" if job is not None and job.state.reason else "."
        engines.stop()
        raise EnginesError(f"Cluster {record.name!r} has ended{why} Start it again: %cluster start {record.kind}.")
    progress(f"Connecting to cluster {record.name}")
    client = ipyparallel.Client(connection_file(Path(record.folder), "client"), log=quiet_log(), timeout=SET_UP_TIMEOUT_S)
    engines.use_client(client)
    world = World.last(Path(record.folder))
    if world is not None and not world.has_ended:
        _take_over(engines, world, progress)
    progress(
        f"{engines.num_ranks} ranks of cluster {record.name}{engines.of_where()}." if engines.ranks
        else f"Cluster {record.name} is there; its ranks start with the next cell."
    )
    return engines


def _check_free(record: ClusterRecord) -> None:
    if not record.is_here():
        raise EnginesError(
            f"Cluster {record.name!r} is looked after on {record.host}, and this is {socket.gethostname()}: connect there, "
            f"or stop it (%cluster stop {record.name}) and start one here."
        )
    if not record.kept or record.is_in_use():
        raise EnginesError(
            f"Cluster {record.name!r} is used by another notebook (process {record.user_pid}). Close that one first; only "
            f"a cluster started with --keep outlives its notebook."
        )


def _take_over(engines: BatchEngines, world: World, progress: Callable[[str], None]) -> None:
    """Make the ranks that run ours, and idle."""

    def say(text: str) -> None:
        progress(f"Connecting to cluster {engines.name}: {text}")

    num_ranks = world.num_ranks
    try:
        engines.job.wait_until_it_runs(say)
        engines.wait_for_engines(num_ranks, say)
        engines.signal_all(signal.SIGINT)
        engines.set_up(num_ranks, patience_s=BUSY_S)
    except (EnginesError, TimeoutError):
        engines.end_ranks()
