"""MPI engines on this machine: started through ipyparallel, signalled and ended only by us."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.death import DEATH_NOTES, GUARD, num_oom_kills, read_death_notes
from labkit.errors import EnginesError, NotAvailableError, UsageError
from labkit.hardware.messages import find_mpiexec

HEARTBEAT_MS = 500  # ipyparallel's default of 3000 makes the engines register late
HEARTBEAT_MISSES = 120  # a minute: a busy machine is not a lost one
START_TIMEOUT_S = 120
EXIT_TIMEOUT_S = 10
MEMORY_PER_ENGINE_BYTES = 120_000_000
MAX_ENGINES = 256

CONTROLLER_CONFIG = """\
# Written by labkit: the controller ends when the notebook that started it is gone.
import os, shutil, signal
from labkit.cluster.owner import end_with

def end():
    shutil.rmtree({directory!r}, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGTERM)

if os.getpgrp() == os.getpid():
    end_with({owner!r}, end)
"""


@dataclass(frozen=True, slots=True)
class Rank:
    """Where one MPI rank lives: its ipyparallel engine, its process and its machine."""

    rank: int
    engine_id: int
    pid: int
    guard_pid: int
    host: str
    created: float  # of the process, so that a reused pid is not taken for it


def check_num_ranks(num_ranks: int) -> None:
    """Raise UsageError if so many ranks cannot be started here."""
    import psutil

    if num_ranks < 1:
        raise UsageError(f"-n {num_ranks}: at least 1 rank is needed, for example -n 4.")
    memory = psutil.virtual_memory().available
    most = max(1, min(MAX_ENGINES, memory // MEMORY_PER_ENGINE_BYTES))
    if num_ranks > most:
        raise UsageError(
            f"-n {num_ranks}: this machine can hold at most {most} ranks as real processes "
            f"({memory / 1e9:.0f} GB of free memory, about "
            f"{MEMORY_PER_ENGINE_BYTES // 1_000_000} MB a rank)."
        )


class LocalEngines:
    """A set of MPI engines on this machine.

    ``start`` may be called again after ``stop`` or after the engines were lost.

    Attributes
    ----------
    ranks : list of Rank
        The running ranks, in rank order; [] when none run.
    library : str
        The MPI library of the engines.
    """

    def __init__(self):
        self.ranks: list[Rank] = []
        self.library = ""
        self.num_cells = 0
        self._directory: str | None = None
        self._cluster = None
        self._client = None
        self._launcher = None
        self._deaths = Path()
        self._oom_kills = 0

    # -- life -----------------------------------------------------------------------------------

    @property
    def num_ranks(self) -> int:
        return len(self.ranks)

    def start(self, num_ranks: int, progress: Callable[[str], None] = lambda text: None) -> None:
        """Start ``num_ranks`` ranks; ``progress`` is told what is happening, in words."""
        check_num_ranks(num_ranks)
        mpiexec = find_mpiexec()
        _check_mpi4py()
        started = time.monotonic()

        def say(text: str) -> None:
            progress(f"Starting {num_ranks} MPI ranks: {text} ({time.monotonic() - started:.0f} s)")

        try:
            if self._client is None:
                say("the controller")
                self._start_controller(mpiexec)
            say("the ranks")
            self._launch(num_ranks)
            self._wait_for_engines(num_ranks, say, started)
            say("one MPI world")
            self._set_up(num_ranks)
        except BaseException:
            self.stop()
            raise
        progress(
            f"{num_ranks} MPI rank{'s' if num_ranks > 1 else ''} started in "
            f"{time.monotonic() - started:.1f} s."
        )

    def stop(self) -> None:
        """End the ranks and the controller. Safe to call at any time."""
        atexit.unregister(self.stop)
        self.end_ranks()
        client, cluster, directory = self._client, self._cluster, self._directory
        self._client = self._cluster = self._directory = self._launcher = None
        if client is not None:
            client.close(linger=0)
        if cluster is not None:
            try:
                cluster.stop_cluster_sync()
            except Exception as error:  # it may be gone already
                logging.getLogger(__name__).debug("stopping the controller: %r", error)
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    def end_ranks(self) -> None:
        """End all ranks at once."""
        import psutil

        for rank in self.ranks:
            try:
                process = psutil.Process(rank.pid)
                if process.create_time() == rank.created:
                    process.kill()
            except psutil.NoSuchProcess:
                pass
        self._wait_for_launcher()
        self.ranks = []
        self._forget_engines()

    def cause_of_loss(self) -> tuple[int | None, str]:
        """After a rank was lost: which one (None if unknown) and how, in words. Ends the others."""
        self._wait_for_launcher()
        out_of_memory = num_oom_kills() > self._oom_kills
        cause = read_death_notes(self._deaths, {r.guard_pid: r.rank for r in self.ranks}, out_of_memory)
        self.end_ranks()
        return cause

    def lost(self) -> bool:
        """Whether a rank that should run is gone."""
        return bool(self.ranks) and not {r.engine_id for r in self.ranks} <= set(self._client.ids)

    def _wait_for_launcher(self) -> None:
        """Until mpiexec has ended, as it does when a rank has; end it if it does not."""
        launcher = self._launcher
        if launcher is None:
            return
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        while launcher.process.is_running() and launcher.process.status() != "zombie":
            if time.monotonic() > deadline:
                launcher.signal(signal.SIGKILL)
                break
            time.sleep(0.02)

    # -- work -----------------------------------------------------------------------------------

    def submit(self, rank: Rank, function: Callable, *args, **kwargs):
        """Start ``function(*args)`` on a rank; return ipyparallel's AsyncResult."""
        view = self._client[rank.engine_id]
        return view.apply_async(function, *args, **kwargs)

    def submit_to_all(
        self,
        function: Callable,
        *args,
        on_message: Callable[[int, dict], None],
        on_done: Callable[[int], None],
        **kwargs,
    ) -> dict:
        """Start ``function(*args)`` on all ranks at once; return ipyparallel's future of each.

        Parameters
        ----------
        on_message : callable
            Told the rank and each message it publishes meanwhile, in the client's thread.
        on_done : callable
            Told the rank when it has answered, after all messages that came before.

        Returns
        -------
        dict of int to future
            By rank. A future has the result, and ``output``, which is done when everything that
            was published has arrived.
        """
        result = self.view_of_all().apply_async(function, *args, **kwargs)
        futures = {rank.rank: future for rank, future in zip(self.ranks, result._children, strict=True)}

        def listen() -> None:
            for rank, future in futures.items():
                for message in _published_so_far(future.output.metadata):
                    on_message(rank, message)
                future.iopub_callbacks.append(functools.partial(on_message, rank))
                future.add_done_callback(lambda _, rank=rank: on_done(rank))

        # In the client's own thread no message can arrive between looking and listening.
        self._client._io_loop.add_callback(listen)
        return futures

    def forget(self, futures: dict) -> None:
        """Let go of the results of :meth:`submit_to_all`; ipyparallel's client would keep them."""
        if self._client is not None:
            with contextlib.suppress(RuntimeError):  # those of a rank that died are still outstanding
                self._client.purge_local_results([future.msg_id for future in futures.values()])

    def view(self, rank: Rank):
        """ipyparallel's view on one rank."""
        return self._client[rank.engine_id]

    def view_of_all(self):
        """ipyparallel's view on all ranks, in rank order."""
        return self._client[[rank.engine_id for rank in self.ranks]]

    def interrupt(self, ranks: list[Rank]) -> None:
        """Send SIGINT, as the Stop button does, to ranks that are executing."""
        if ranks:
            targets = [rank.engine_id for rank in ranks]
            alive = [target for target in targets if target in self._client.ids]
            if alive:
                self._client.send_signal(signal.SIGINT, targets=alive, block=False)

    # -- parts of start -------------------------------------------------------------------------

    def _start_controller(self, mpiexec: str) -> None:
        import ipyparallel
        from traitlets.config import Config

        self._directory = tempfile.mkdtemp(prefix="labkit-engines-")
        Path(self._directory, "ipcontroller_config.py").write_text(
            CONTROLLER_CONFIG.format(directory=self._directory, owner=os.getpid())
        )
        config = Config()
        config.MPILauncher.mpi_cmd = [mpiexec]
        config.MPIEngineSetLauncher.mpi_cmd = [mpiexec]
        config.EngineLauncher.engine_cmd = [
            "/bin/sh", "-c", GUARD, "labkit-rank", sys.executable, "-m", "ipyparallel.engine",
        ]
        config.EngineLauncher.engine_args = ["--log-level=30"]
        log = logging.getLogger("labkit.engines")
        log.setLevel(logging.ERROR)
        self._cluster = ipyparallel.Cluster(
            engines="mpi",
            profile_dir=self._directory,
            load_profile=False,
            config=config,
            log=log,
            delay=0,
            shutdown_atexit=False,
            controller_args=[
                "--nodb",  # nobody asks the controller for results of the past: do not keep them
                f"--HeartMonitor.period={HEARTBEAT_MS}",
                f"--HeartMonitor.max_heartmonitor_misses={HEARTBEAT_MISSES}",
            ],
        )
        atexit.register(self.stop)
        self._cluster.start_controller_sync()
        self._client = self._cluster.connect_client_sync()

    def _launch(self, num_ranks: int) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = str(max(1, cores // num_ranks))
        self._deaths = Path(self._directory, f"deaths-{time.monotonic_ns()}")
        self._deaths.mkdir()
        self._oom_kills = num_oom_kills()
        added = {
            name: threads
            for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
            if name not in os.environ
        }
        added[DEATH_NOTES] = str(self._deaths)
        os.environ.update(added)  # ipyparallel starts mpiexec with this process's environment
        try:
            set_id = self._cluster.start_engines_sync(n=num_ranks)
        finally:
            for name in added:
                del os.environ[name]
        self._launcher = self._cluster.engines[set_id]

    def _wait_for_engines(self, num_ranks: int, say, started: float) -> None:
        shown = -1
        while (connected := len(self._client.ids)) < num_ranks:
            if connected != shown:
                say(f"{connected} of {num_ranks} connected")
                shown = connected
            if self._launcher.state == "after" or not self._launcher.process.is_running():
                raise EnginesError(
                    f"mpiexec ended before {num_ranks} ranks had connected: "
                    f"{_last_words(self._launcher.get_output())}"
                )
            if time.monotonic() - started > START_TIMEOUT_S:
                raise EnginesError(
                    f"Only {connected} of {num_ranks} ranks connected within {START_TIMEOUT_S} s. "
                    f"Try fewer ranks (-n), or see labkit doctor."
                )
            time.sleep(0.05)

    def _set_up(self, num_ranks: int) -> None:
        import psutil

        ids = list(self._client.ids)
        results = {eid: self._client[eid].apply_async(_set_up, os.getpid()) for eid in ids}
        facts = {eid: result.get(timeout=START_TIMEOUT_S) for eid, result in results.items()}
        sizes = sorted({fact["size"] for fact in facts.values()})
        if sizes != [num_ranks]:
            raise EnginesError(
                f"The {num_ranks} processes do not form one MPI world: they see worlds of size "
                f"{', '.join(map(str, sizes))}. mpiexec and the MPI library of mpi4py are of "
                f"different kinds; labkit doctor names both."
            )
        self.library = next(iter(facts.values()))["library"]
        self.ranks = sorted(
            (
                Rank(
                    rank=fact["rank"],
                    engine_id=eid,
                    pid=fact["pid"],
                    guard_pid=fact["guard_pid"],
                    host=fact["host"],
                    created=psutil.Process(fact["pid"]).create_time(),
                )
                for eid, fact in facts.items()
            ),
            key=lambda rank: rank.rank,
        )
        self.num_cells = 0

    def _forget_engines(self) -> None:
        """Wait until ipyparallel knows that the old engines are gone."""
        if self._client is None:
            return
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        while self._client.ids and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._client.ids:  # a new controller is slower and always works
            client, cluster = self._client, self._cluster
            self._client = self._cluster = None
            client.close(linger=0)
            cluster.stop_cluster_sync()


def _published_so_far(metadata) -> list[dict]:
    """What ipyparallel has noted of a rank's messages, as messages again."""
    messages = []
    for name in ("stdout", "stderr"):
        if metadata[name]:
            content = {"name": name, "text": metadata[name]}
            messages.append({"header": {"msg_type": "stream"}, "content": content})
    for content in metadata["outputs"]:
        messages.append({"header": {"msg_type": "display_data"}, "content": content})
    if metadata["data"]:
        messages.append({"header": {"msg_type": "data_message"}, "content": {}})
    return messages


def _set_up(owner_pid):
    from labkit.cluster.rank import set_up

    return set_up(owner_pid)


def _check_mpi4py() -> None:
    import importlib.util

    if importlib.util.find_spec("mpi4py") is None:
        raise NotAvailableError(
            "No MPI here: the Python package mpi4py is not installed. "
            "Install it with: pip install mpich mpi4py"
        )


def _last_words(output: str) -> str:
    lines = [line.strip("= ") for line in output.splitlines() if line.strip("= ")]
    return " | ".join(lines[-3:]) if lines else "it printed nothing"
