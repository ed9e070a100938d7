"""The verbs on clusters, as the notebook and the shell share them: start, connect, status, list, logs, stop."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.cluster import registry
from labkit.cluster.folder import remove_folder
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import JobState, find_scheduler
from labkit.errors import LabkitError, UsageError

if TYPE_CHECKING:  # a list of clusters needs none of them
    from labkit.cluster.engines import Engines

LOG_LINES = 40
END_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ClusterStatus:
    """A cluster, and what its batch system says of its job."""

    record: registry.ClusterRecord
    job: JobState
    controller_runs: bool | None  # None: it is on another machine

    @property
    def word(self) -> str:
        """``"running"``, ``"queued"``, ... of the job; ``"lost"`` if its controller is gone."""
        if self.controller_runs is False:
            return "lost"
        return self.job.word if self.record.job_id else "idle"

    @property
    def text(self) -> str:
        """One line for people."""
        record = self.record
        nodes = f" on {', '.join(self.job.nodes[:6])}{', ...' if len(self.job.nodes) > 6 else ''}" if self.job.nodes else ""
        job = f", job {record.job_id}" if record.job_id else ""
        reason = f" ({self.job.reason})" if self.job.reason else ""
        use = "kept" if record.kept else f"of process {record.owner_pid}"
        return f"{record.name}: {record.kind}, {record.num_ranks} ranks{nodes}{job}, {self.word}{reason}, {use} on {record.host}"


def engines_for(options: ClusterOptions) -> Engines:
    """Engines of the kind that options ask for; none is started yet."""
    if options.kind == "local":
        from labkit.cluster.engines import LocalEngines

        return LocalEngines()
    if options.kind == "ssh":
        from labkit.cluster.engines.ssh import SSHEngines

        return SSHEngines(options)
    from labkit.cluster.engines.batch import BatchEngines

    return BatchEngines(options)


def start(options: ClusterOptions, progress: Callable[[str], None]) -> Engines:
    """Start a cluster and wait for its ranks.

    Raises
    ------
    UsageError
        A cluster of that name runs, or options do not fit.
    EnginesError, NotAvailableError
        It did not come up; the job, if there was one, has been cancelled.
    """
    names = {record.name for record in registry.records()}
    if options.name in names and options.is_batch:
        if options.name != options.kind:
            raise UsageError(
                f"There is a cluster {options.name!r} already: %cluster connect {options.name} works with it, "
                f"%cluster stop {options.name} ends it."
            )
        options = options.changed(name=registry.free_name(options.kind))
    while True:
        engines = engines_for(options)
        try:
            engines.start(options.num_ranks, progress)
            return engines
        except registry.NameTakenError:
            if options.name != options.kind and not options.name.startswith(f"{options.kind}-"):
                raise  # the user has chosen it
            options = options.changed(name=registry.free_name(options.kind))


def connect(name: str, progress: Callable[[str], None]) -> Engines:
    """Work with a cluster that is kept."""
    from labkit.cluster.engines.reconnect import reconnect

    return reconnect(registry.load(name), progress)


def dry_run(options: ClusterOptions) -> str:
    """The job script that :func:`start` would submit."""
    from labkit.cluster.script import engine_script

    if options.kind in ("local", "ssh"):
        raise UsageError(f"A cluster of kind {options.kind!r} needs no job script: its ranks are started at once.")
    folder = Path(options.folder or Path.home() / ".labkit" / "clusters") / options.name
    return engine_script(options, folder=folder, start_in=os.getcwd())


def status(record: registry.ClusterRecord) -> ClusterStatus:
    """What there is to know of a cluster; asks its batch system."""
    job = JobState("unknown")
    if record.job_id:
        with contextlib.suppress(LabkitError):
            job = find_scheduler(record.kind).state(record.job_id)
    return ClusterStatus(record, job, record.controller_runs())


def statuses() -> list[ClusterStatus]:
    """All clusters of this user."""
    return [status(record) for record in registry.records()]


def logs(name: str, num_lines: int = LOG_LINES) -> str:
    """The last lines that the job and its worlds have printed."""
    folder = Path(registry.load(name).folder)
    parts = []
    paths = [folder / "job.log", *sorted(folder.glob("world-*.log"), key=lambda path: int(path.stem.split("-")[1]))[-2:]]
    paths += sorted((folder / "log").glob("ipcontroller*.log"))[-1:]
    for path in paths:
        with contextlib.suppress(OSError):
            lines = path.read_text(errors="replace").splitlines()
            if lines:
                cut = [f"... {len(lines) - num_lines} lines before"] if len(lines) > num_lines else []
                parts.append("\n".join([f"== {path.name}", *cut, *lines[-num_lines:]]))
    return "\n".join(parts) if parts else f"Cluster {name!r} has printed nothing yet ({folder})."


def stop(name: str) -> str:
    """End a cluster, whoever started it; return what was done, in words."""
    record = registry.load(name)
    if record.job_id:
        find_scheduler(record.kind).cancel(record.job_id)
    if record.controller_runs():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(record.controller_pid, signal.SIGTERM)
        deadline = time.monotonic() + END_TIMEOUT_S
        while record.controller_runs() and time.monotonic() < deadline:
            time.sleep(0.05)
    remove_folder(record.folder)
    registry.remove(name, record.folder)
    job = f" Job {record.job_id} is cancelled." if record.job_id else ""
    return f"Cluster {name!r} has been stopped.{job}"
