"""MPI engines in a job of a batch system: Slurm, PBS, LSF, SGE."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

from labkit.cluster import registry
from labkit.cluster.address import address_for
from labkit.cluster.death import JOB_GUARD
from labkit.cluster.engines.base import EXIT_TIMEOUT_S, Engines, last_words, quiet_log
from labkit.cluster.engines.job import Job
from labkit.cluster.engines.job_launcher import job_launcher
from labkit.cluster.engines.loss import find_cause, words_for_silence
from labkit.cluster.engines.world import World
from labkit.cluster.folder import remove_folder
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import Scheduler, find_scheduler
from labkit.cluster.script import engine_script, world_command
from labkit.cluster.watch import CONTROLLER_CONFIG
from labkit.errors import EnginesError, UsageError

HEARTBEAT_MS = 500
HEARTBEAT_MISSES = 40  # 20 s: a network that is gone for less is nothing
CONNECT_TIMEOUT_S = 120.0  # from the start of the world to its last rank


class BatchEngines(Engines):
    """MPI engines in one job, which is kept when a world of ranks ends.

    Parameters
    ----------
    options : ClusterOptions
    scheduler : Scheduler, optional
        By default that of ``options.kind``.

    Attributes
    ----------
    job : Job or None
        The job that holds the nodes.
    """

    def __init__(self, options: ClusterOptions, scheduler: Scheduler | None = None):
        super().__init__()
        self.scheduler = scheduler or find_scheduler(options.kind)
        self.options = options
        self.name = options.name
        self.where = f"{self.scheduler.title} cluster {self.name!r}"
        self.job: Job | None = None
        self._world: World | None = None
        self._record: registry.ClusterRecord | None = None

    @property
    def job_id(self) -> str:
        """Of the job; "" when there is none."""
        return self.job.id if self.job is not None else ""

    @property
    def kept(self) -> bool:
        """Whether it outlives this process."""
        return self.options.keep

    @property
    def num_ranks_asked(self) -> int:
        return self.options.num_ranks

    # -- life -----------------------------------------------------------------------------------

    def check_num_ranks(self, num_ranks: int) -> None:
        if num_ranks < 1:
            raise UsageError(f"-n {num_ranks}: at least 1 rank is needed, for example -n 4.")
        if self.job is not None and num_ranks > self.options.num_ranks:
            raise UsageError(
                f"-n {num_ranks}: cluster {self.name!r} was started for {self.options.num_ranks} ranks. Use fewer, or start a "
                f"larger one: %cluster stop, then %cluster start {self.options.kind} -n {num_ranks}."
            )

    def of_where(self) -> str:
        hosts = list(dict.fromkeys(rank.host for rank in self.ranks))
        return f" on {len(hosts)} node{'s' if len(hosts) > 1 else ''} ({', '.join(hosts[:4])}{', ...' if len(hosts) > 4 else ''})"

    def _start_controller(self) -> None:
        import ipyparallel
        from traitlets.config import Config

        folder = self._make_folder()
        script = engine_script(self.options, folder=folder, start_in=os.getcwd(), scheduler=self.scheduler)
        (folder / "ipcontroller_config.py").write_text(
            CONTROLLER_CONFIG.format(folder=str(folder), name=self.name, owner=None if self.options.keep else os.getpid())
        )
        launcher = job_launcher(self.scheduler)
        config = Config()
        config[launcher.__name__].batch_template = script.replace("{", "{{").replace("}", "}}")  # it is formatted
        config[launcher.__name__].batch_file_name = str(folder / "job.sh")
        address = self.options.address or address_for(self.scheduler.some_nodes())
        self._cluster = ipyparallel.Cluster(
            # Its own record of the cluster would be written once more, in a folder made anew, when the controller ends.
            cluster_file="",
            engines=launcher, profile_dir=str(folder), load_profile=False, config=config, log=quiet_log(),
            delay=0, shutdown_atexit=False, send_engines_connection_env=False,
            controller_args=[
                "--nodb",
                f"--HeartMonitor.period={HEARTBEAT_MS}",
                f"--HeartMonitor.max_heartmonitor_misses={HEARTBEAT_MISSES}",
                f"--IPController.engine_ip={address}",  # engines come over the cluster's network,
                "--IPController.client_ip=127.0.0.1",  # this notebook does not
                f"--IPController.location={address}",
            ],
        )
        if not self.options.keep:
            atexit.register(self.stop)
        self._cluster.start_controller_sync()
        self._write_record()
        self._client = self._cluster.connect_client_sync()

    def _make_folder(self) -> Path:
        parent = Path(self.options.folder).expanduser() if self.options.folder else Path.home() / ".labkit" / "clusters"
        folder = parent / f"{self.name}-{secrets.token_hex(4)}"
        try:
            parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(
                f"The cluster's folder cannot be made: {error}. Name one that this machine and the nodes share: --folder DIR."
            ) from None
        self._directory, self._world = str(folder), None
        return folder

    def _write_record(self) -> None:
        import psutil

        pid = self._cluster.controller.pid if self._cluster is not None else self._record.controller_pid
        me = psutil.Process()
        record = registry.ClusterRecord(
            name=self.name, kind=self.options.kind, folder=self._directory, options=dataclasses.asdict(self.options),
            num_ranks=self.options.num_ranks, job_id=self.job_id, controller_pid=pid,
            controller_created=psutil.Process(pid).create_time(),
            owner_pid=None if self.options.keep else os.getpid(), user_pid=me.pid, user_created=me.create_time(),
            started=self._record.started if self._record is not None else time.time(),
        )
        registry.save(record, new=self._record is None)
        self._record = record

    # -- a world --------------------------------------------------------------------------------

    def _launch(self, num_ranks: int, say: Callable[[str], None]) -> None:
        folder = Path(self._directory)
        self._world = World(folder, self._world.number + 1 if self._world is not None else 1)
        engine = [
            "/bin/sh", "-c", JOB_GUARD, "labkit-rank", self.options.python, "-m", "ipyparallel.engine", "--log-level=30",
            f"--profile-dir={folder}", f"--file={connection_file(folder, 'engine')}",
        ]
        command = world_command(self._options_of_world(num_ranks), engine, self.scheduler)
        self._world.order(["/bin/bash", "-c", command], num_ranks)
        if self.job is None:
            self._submit(say)
        self.job.wait_until_it_runs(say)

    def _options_of_world(self, num_ranks: int) -> ClusterOptions:
        """The options for so many ranks in the job that there is: fewer nodes, if they are enough."""
        options = self.options
        if num_ranks == options.num_ranks:
            return options
        if options.num_nodes is None:
            return options.changed(num_ranks=num_ranks)
        per_node = max(options.ranks_by_node())
        return options.changed(num_ranks=num_ranks, num_nodes=-(-num_ranks // per_node), ranks_per_node=None)

    def _submit(self, say) -> None:
        say(f"a job for {self.scheduler.title}")
        set_id = self._cluster.start_engines_sync(n=self.options.num_ranks)
        self.job = Job(self.scheduler, self._cluster.engines[set_id].job_id, self._printed)
        self._write_record()

    def _printed(self) -> str:
        text = self._world.printed()
        return last_words(text) if text else ""

    def _check_launched(self, num_connected: int, num_ranks: int, seconds: float) -> None:
        if self._world.has_ended:
            raise EnginesError(
                f"The launcher ended before {num_ranks} ranks had connected ({num_connected} had): "
                f"{self._printed() or 'it printed nothing'}. %cluster doctor looks for the cause."
            )
        self.job.ask_now_and_then()
        if self.job.has_ended:
            when = f"when {num_connected} of {num_ranks} ranks had connected"
            raise EnginesError(self.job.over_text(when))
        if seconds > CONNECT_TIMEOUT_S:
            raise EnginesError(
                f"Only {num_connected} of {num_ranks} ranks connected within {CONNECT_TIMEOUT_S:g} s of the start of job "
                f"{self.job.id}: {self._printed() or 'it printed nothing'}. %cluster doctor looks for the cause."
            )

    def _owner_of_ranks(self) -> None:
        return None

    def _no_world(self, num_ranks: int, sizes: list[int], facts: dict[int, dict]) -> str:
        libraries = sorted({fact["library"] for fact in facts.values()})
        return (
            f"The {num_ranks} processes do not form one MPI world: they see worlds of size {', '.join(map(str, sizes))}. The "
            f"launcher (--mpi {self.options.mpi}) does not fit the MPI library of the ranks ({'; '.join(libraries)}): MPICH and "
            f"Intel MPI want --mpi pmi2, Open MPI --mpi pmix. %cluster doctor says which library each rank loads."
        )

    # -- the end --------------------------------------------------------------------------------

    def lost(self) -> bool:
        if not self.ranks:
            return False
        self.job.ask_now_and_then()
        return super().lost() or self.job.has_ended

    def cause_of_loss(self) -> tuple[int | None, str]:
        missing = [rank for rank in self.ranks if rank.engine_id not in set(self._client.ids)]
        rank, cause = find_cause(self.job, self._world, self.ranks)
        if not cause:
            silent_s = HEARTBEAT_MS * HEARTBEAT_MISSES / 1000
            cause = words_for_silence(missing, silent_s) if missing else f"was lost: {self.job.over_text()}"
        if rank is None:
            self._cancel()  # nobody knows what is left of it
        self.end_ranks()
        return rank, cause

    def _kill_ranks(self) -> None:
        if self.job is None or self._world is None or self._client is None:
            return
        if not self.job.has_ended:
            self.signal_all(signal.SIGKILL)
            if not self._world.wait_for_end(2.0):  # whom the signal does not reach, the keeper does
                self._world.order_end()
                if not self._world.wait_for_end(EXIT_TIMEOUT_S):
                    self._cancel()
        if self.job is not None and (self.job.has_ended or self._world.job_has_ended):
            self.job = None

    def signal_all(self, number: int) -> None:
        """Send a signal to all ranks that the controller reaches."""
        with contextlib.suppress(Exception):
            self._client.send_signal(number, targets=self._new_ids(), block=False)

    def _cancel(self) -> None:
        """End the job. The next world then needs a new one, with a controller and a folder of its own."""
        if self.job is not None:
            self.job.cancel()
        self.job = None

    def end_ranks(self) -> None:
        super().end_ranks()
        if self.job is None:
            self._end_controller()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.ranks = []
        self._cancel()
        self._end_controller()
        if self._record is not None:
            registry.remove(self.name, self._record.folder)
            self._record = None

    def _end_controller(self) -> None:
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if client is not None:
            client.close(linger=0)
        if cluster is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                cluster.stop_controller_sync()
        elif self._record is not None and self._record.controller_runs():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._record.controller_pid, signal.SIGTERM)
        if self._directory is not None:
            remove_folder(self._directory)
            self._directory = None

    def leave(self) -> None:
        """Let go of a cluster that is kept: another notebook can connect to it."""
        atexit.unregister(self.stop)
        if self._client is not None:
            self._client.close(linger=0)
        self._client = self._cluster = None
        self.ranks = []
        if self._record is not None:
            self._record.user_pid = None
            registry.save(self._record)

    # -- coming back ----------------------------------------------------------------------------

    def adopt(self, record: registry.ClusterRecord) -> None:
        """Stand for a cluster that exists."""
        self._directory, self._record = record.folder, record
        self._world = World.last(Path(record.folder))
        self.job = Job(self.scheduler, record.job_id, self._printed) if record.job_id else None

    def use_client(self, client) -> None:
        """Work with it through ipyparallel's client from now on."""
        self._client = client
        self._write_record()


def connection_file(folder: Path, side: str) -> str:
    """What tells an engine or a client where the controller listens, and the key that signs their messages."""
    found = sorted((folder / "security").glob(f"*-{side}.json"))
    if not found:
        raise EnginesError(f"The controller has left no connection file in {folder / 'security'}; it may have ended.")
    return str(found[0])
