"""MPI engines in a job of a batch system: Slurm, PBS, LSF, SGE."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from labkit.cluster import registry
from labkit.cluster.address import address_for
from labkit.cluster.death import DEATH_NOTES, JOB_GUARD, read_death_notes
from labkit.cluster.engines.base import EXIT_TIMEOUT_S, SET_UP_TIMEOUT_S, Engines, last_words, quiet_log
from labkit.cluster.keeper import write_whole
from labkit.cluster.engines.job_launcher import job_launcher
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import Scheduler, find_scheduler
from labkit.cluster.schedulers.scheduler import JobState
from labkit.cluster.script import engine_script, world_command
from labkit.cluster.watch import CONTROLLER_CONFIG
from labkit.errors import EnginesError, LabkitError, UsageError

HEARTBEAT_MS = 500
HEARTBEAT_MISSES = 40  # 20 s: a network that is gone for less is nothing
CONNECT_TIMEOUT_S = 120.0  # from the start of the world to its last rank
POLL_S = (0.3, 2.0, 5.0)  # how often the batch system is asked while a job waits: soon after its start, later, then
STATE_EVERY_S = 3.0  # while ranks run
BUSY_S = 15.0  # how long ranks may take to react to an interrupt
ENDING_S = 20.0  # ... and to say why a job is ending
UNKNOWN_S = 30.0  # how long a job may be unknown: soon after its submission, or when the accounting is late
CAUSE_S = 6.0  # how long the batch system may take to notice what has happened


class BatchEngines(Engines):
    """MPI engines in one job, which is kept when a world of ranks ends.

    Parameters
    ----------
    options : ClusterOptions
    scheduler : Scheduler, optional
        By default that of ``options.kind``.

    Attributes
    ----------
    job_id : str
        Of the job; "" when there is none.
    state : JobState or None
        What the batch system last said of it.
    """

    def __init__(self, options: ClusterOptions, scheduler: Scheduler | None = None):
        super().__init__()
        self.scheduler = scheduler or find_scheduler(options.kind)
        self.options = options
        self.name = options.name
        self.where = f"{self.scheduler.title} cluster {self.name!r}"
        self.job_id = ""
        self.state: JobState | None = None
        self._world = 0
        self._deaths = Path()
        self._seen: registry.ClusterRecord | None = None
        self._asking: threading.Thread | None = None
        self._asked = 0.0

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
        if self.job_id and num_ranks > self.options.num_ranks:
            raise UsageError(
                f"-n {num_ranks}: cluster {self.name!r} was started for {self.options.num_ranks} ranks. Use fewer, or start a "
                f"larger one: %cluster stop, then %cluster start {self.options.kind} -n {num_ranks}."
            )

    def _of_where(self) -> str:
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
        self._record()
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
        self._directory = str(folder)
        self._world = 0
        return folder

    def _record(self) -> None:
        import psutil

        pid = self._cluster.controller.pid if self._cluster is not None else self._seen.controller_pid
        me = psutil.Process()
        record = registry.ClusterRecord(
            name=self.name, kind=self.options.kind, folder=self._directory, options=dataclasses.asdict(self.options),
            num_ranks=self.options.num_ranks, job_id=self.job_id, controller_pid=pid,
            controller_created=psutil.Process(pid).create_time(),
            owner_pid=None if self.options.keep else os.getpid(), user_pid=me.pid, user_created=me.create_time(),
            started=self._seen.started if self._seen is not None else time.time(),
        )
        registry.save(record, new=self._seen is None)
        self._seen = record

    # -- a world --------------------------------------------------------------------------------

    def _launch(self, num_ranks: int, say: Callable[[str], None]) -> None:
        self._world += 1
        folder = Path(self._directory)
        self._deaths = folder / f"deaths-{self._world}"
        self._deaths.mkdir()
        python = self.options.python
        engine = [
            "/bin/sh", "-c", JOB_GUARD, "labkit-rank", python, "-m", "ipyparallel.engine", "--log-level=30",
            f"--profile-dir={folder}", f"--file={_connection_file(folder, 'engine')}",
        ]
        order = {
            "command": ["/bin/bash", "-c", world_command(self._options_of_world(num_ranks), engine, self.scheduler)],
            "environment": {DEATH_NOTES: str(self._deaths)},
            "num_ranks": num_ranks,
        }
        write_whole(folder / f"world-{self._world}.json", json.dumps(order))
        if not self.job_id:
            self._submit(say)
        self._wait_for_job(say)

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
        self.job_id = self._cluster.engines[set_id].job_id
        self._record()

    def _wait_for_job(self, say) -> None:
        """Until the job runs; said on the way: its place in the queue and what it waits for."""
        began = known = time.monotonic()
        while True:
            self.state = self.scheduler.state(self.job_id)
            if self.state.word == "ended":
                raise EnginesError(self._job_is_over("before its ranks could start"))
            if self.state.word != "unknown":
                known = time.monotonic()
            elif time.monotonic() - known > UNKNOWN_S:  # not every site keeps an account of jobs that have ended
                raise EnginesError(self._job_is_over("before its ranks could start"))
            if self.state.word in ("running", "starting"):
                return
            position = self.scheduler.position(self.job_id)
            say("; ".join(filter(None, [
                f"job {self.job_id} is queued" if self.state.word == "queued" else f"job {self.job_id}",
                f"place {position.place} of {position.waiting} in {position.queue}" if position else "", self.state.reason,
            ])))
            waited = time.monotonic() - began
            time.sleep(POLL_S[0] if waited < 10 else POLL_S[1] if waited < 120 else POLL_S[2])

    def _check_launched(self, num_connected: int, num_ranks: int, seconds: float) -> None:
        if self._world_file("ended").exists():
            raise EnginesError(
                f"The launcher ended before {num_ranks} ranks had connected ({num_connected} had): "
                f"{last_words(self._read('log'))}. %cluster doctor looks for the cause."
            )
        self._ask_now_and_then()
        if self.state is not None and self.state.word == "ended":
            raise EnginesError(self._job_is_over(f"when {num_connected} of {num_ranks} ranks had connected"))
        if seconds > CONNECT_TIMEOUT_S:
            raise EnginesError(
                f"Only {num_connected} of {num_ranks} ranks connected within {CONNECT_TIMEOUT_S:g} s of the start of job "
                f"{self.job_id}: {last_words(self._read('log'))}. %cluster doctor looks for the cause."
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
        self._ask_now_and_then()
        return super().lost() or (self.state is not None and self.state.word == "ended")

    def cause_of_loss(self) -> tuple[int | None, str]:
        missing = [rank for rank in self.ranks if rank.engine_id not in set(self._client.ids)]
        rank, cause = self._wait_for_cause()
        if not cause:
            hosts = ", ".join(sorted({rank.host for rank in missing}))
            ranks = ", ".join(str(rank.rank) for rank in missing)
            cause = (
                f"does not answer any more: no sign of rank {ranks} on {hosts} for "
                f"{HEARTBEAT_MS * HEARTBEAT_MISSES / 1000:g} s, so the node or its network is down"
            ) if missing else f"was lost: {self._job_is_over()}"
        if rank is None:
            self._cancel()  # nobody knows what is left of it
        self.end_ranks()
        return rank, cause

    def _wait_for_cause(self) -> tuple[int | None, str]:
        """(Rank, how it ended), (None, what happened to the job or its nodes), or (None, "") if nobody knows it."""
        guards = {(rank.host, rank.guard_pid): rank.rank for rank in self.ranks}
        hosts = list({rank.host: 0 for rank in self.ranks})
        began = time.monotonic()
        while True:
            rank, words, bad = None, "", {}
            with contextlib.suppress(OSError):  # the folder is gone
                rank, words = read_death_notes(self._deaths, guards)
            with contextlib.suppress(LabkitError):
                self.state = self.scheduler.state(self.job_id)
                bad = self.scheduler.bad_nodes(hosts)
            waited = time.monotonic() - began
            ended = self.state is not None and self.state.word == "ended"
            ending = ended and self.state.native.startswith("COMPLETING")
            if bad:
                return None, f"was lost: {self.scheduler.title} says that {words_for_nodes(bad)}"
            if ended and not ending:
                return None, f"was lost: {self._job_is_over()}"
            if rank is not None and not ending and (self._world_file("ended").exists() or waited > CAUSE_S / 2):
                return rank, words
            if waited > (ENDING_S if ending else CAUSE_S):
                return None, ""
            time.sleep(0.1 if waited < 1 else 0.5)

    def _kill_ranks(self) -> None:
        if not self.job_id or not self._world or self._client is None:
            return
        if self.state is not None and self.state.word == "ended":
            self.job_id = ""
            return
        alive = self._new_ids()
        if alive:
            with contextlib.suppress(Exception):  # whom it does not reach, the keeper does
                self._client.send_signal(signal.SIGKILL, targets=alive, block=False)
        if not self._wait_for_end(2.0):
            with contextlib.suppress(OSError):
                self._world_file("kill").touch()
            if not self._wait_for_end(EXIT_TIMEOUT_S):
                self._cancel()

    def _wait_for_end(self, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not self._world_file("ended").exists():
            if Path(self._directory, "job-ended").exists():
                self.job_id = ""
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def _cancel(self) -> None:
        """End the job. The next world then needs a new one, with a controller and a folder of its own."""
        if self.job_id:
            with contextlib.suppress(LabkitError):
                self.scheduler.cancel(self.job_id)
        self.job_id, self.state = "", None

    def end_ranks(self) -> None:
        super().end_ranks()
        if not self.job_id:
            self._end_controller()

    def stop(self) -> None:
        atexit.unregister(self.stop)
        self.ranks = []
        self._cancel()
        self._end_controller()
        if self._seen is not None:
            registry.remove(self.name, self._seen.folder)
            self._seen = None

    def _end_controller(self) -> None:
        client, cluster, self._client, self._cluster = self._client, self._cluster, None, None
        if client is not None:
            client.close(linger=0)
        if cluster is not None:
            with contextlib.suppress(Exception):  # it may be gone already
                cluster.stop_controller_sync()
        elif self._seen is not None and self._seen.controller_runs():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._seen.controller_pid, signal.SIGTERM)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def leave(self) -> None:
        """Let go of a cluster that is kept: another notebook can connect to it."""
        atexit.unregister(self.stop)
        if self._client is not None:
            self._client.close(linger=0)
        self._client = self._cluster = None
        self.ranks = []
        if self._seen is not None:
            self._seen.user_pid = None
            registry.save(self._seen)

    # -- coming back ----------------------------------------------------------------------------

    @classmethod
    def connect(
        cls, record: registry.ClusterRecord, progress: Callable[[str], None] = lambda text: None
    ) -> BatchEngines:
        """The engines of a cluster that another notebook, or a shell, has started and kept.

        Variables of the ranks are still there. What they were busy with is interrupted.

        Raises
        ------
        EnginesError
            It has ended, belongs to a notebook that runs, or is reached from another machine.
        """
        import ipyparallel

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
        engines = cls(ClusterOptions(**{k: tuple(v) if isinstance(v, list) else v for k, v in record.options.items()}))
        engines._directory, engines.job_id, engines._seen = record.folder, record.job_id, record
        engines.state = engines.scheduler.state(record.job_id) if record.job_id else None
        if not record.controller_runs() or engines.state is None or engines.state.word == "ended":
            why = f": {engines.state.reason}" if engines.state is not None and engines.state.reason else ""
            engines.stop()
            raise EnginesError(f"Cluster {record.name!r} has ended{why}. Start it again: %cluster start {record.kind}.")
        folder = Path(record.folder)
        engines._world = len(list(folder.glob("world-*.json")))
        engines._deaths = folder / f"deaths-{engines._world}"
        progress(f"Connecting to cluster {record.name}")
        engines._client = ipyparallel.Client(
            _connection_file(folder, "client"), log=quiet_log(), timeout=SET_UP_TIMEOUT_S
        )
        if engines._world and not engines._world_file("ended").exists():
            engines._take_over(progress)
        engines._record()
        progress(f"{engines.num_ranks} ranks of cluster {record.name}{engines._of_where()}." if engines.ranks else
                 f"Cluster {record.name} is there; its ranks start with the next cell.")
        return engines

    def _take_over(self, progress) -> None:
        """Make the ranks that run ours, and idle."""
        num_ranks = json.loads(self._world_file("json").read_text())["num_ranks"]

        def say(text: str) -> None:
            progress(f"Connecting to cluster {self.name}: {text}")

        try:
            self._wait_for_job(say)
            self._wait_for_engines(num_ranks, say)
            self._client.send_signal(signal.SIGINT, targets=self._new_ids(), block=False)
            self._set_up(num_ranks, patience_s=BUSY_S)
        except (EnginesError, TimeoutError):
            self.end_ranks()

    # -- parts ----------------------------------------------------------------------------------

    def _world_file(self, ending: str) -> Path:
        return Path(self._directory, f"world-{self._world}.{ending}")

    def _read(self, ending: str) -> str:
        """The log of the world, or of the job if the world has none."""
        for path in (self._world_file(ending), Path(self._directory, "job.log")):
            with contextlib.suppress(OSError):
                if text := path.read_text(errors="replace").strip():
                    return text
        return ""

    def _job_is_over(self, when: str = "") -> str:
        state = self.state
        text = f"{self.scheduler.title} job {self.job_id} has ended{f' {when}' if when else ''}"
        if state is not None and state.reason:
            text += f": {state.reason}"
        if when and (log := self._read("log")):
            text += f". It printed: {last_words(log)}"
        return text

    def _ask_now_and_then(self) -> None:
        """Ask for the state of the job, now and then, without waiting for the answer."""
        now = time.monotonic()
        if now - self._asked < STATE_EVERY_S or (self._asking is not None and self._asking.is_alive()):
            return
        self._asked = now
        job_id = self.job_id

        def ask() -> None:
            with contextlib.suppress(LabkitError):
                state = self.scheduler.state(job_id)
                if self.job_id == job_id:
                    self.state = state

        self._asking = threading.Thread(target=ask, daemon=True, name="labkit job state")
        self._asking.start()


def words_for_nodes(states: dict[str, str]) -> str:
    """What is wrong with nodes, by the scheduler's words for them.

    Examples
    --------
    >>> words_for_nodes({"n2": "mixed*", "n1": "down*"})
    'node n1 is down, node n2 does not answer: a crash, or the network between'
    """
    names = ", ".join(
        f"node {node} does not answer" if state.endswith("*") and not state.startswith("down") else f"node {node} is {state.strip('*')}"
        for node, state in sorted(states.items())
    )
    return f"{names}: a crash, or the network between"


def _connection_file(folder: Path, side: str) -> str:
    """What tells an engine or a client where the controller listens, and the key that signs their messages."""
    found = sorted((folder / "security").glob(f"*-{side}.json"))
    if not found:
        raise EnginesError(f"The controller has left no connection file in {folder / 'security'}; it may have ended.")
    return str(found[0])
