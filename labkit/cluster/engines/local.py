"""MPI engines on this machine: started through ipyparallel, signalled and ended only by us."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from labkit.cluster.death import DEATH_NOTES, GUARD, num_oom_kills, read_death_notes
from labkit.cluster.engines.base import EXIT_TIMEOUT_S, Engines, last_words, quiet_log
from labkit.errors import EnginesError, UsageError
from labkit.hardware.messages import find_mpiexec

HEARTBEAT_MS = 500  # ipyparallel's default of 3000 makes the engines register late
HEARTBEAT_MISSES = 120  # a minute: a busy machine is not a lost one
START_TIMEOUT_S = 120
MEMORY_PER_ENGINE_BYTES = 120_000_000
MAX_ENGINES = 256

CONTROLLER_CONFIG = """\
# Written by labkit: the controller ends when the notebook that started it is gone.
import os, signal
from labkit.cluster.folder import remove_folder
from labkit.cluster.owner import end_with

def end():
    remove_folder({directory!r})
    os.killpg(os.getpgrp(), signal.SIGTERM)

if os.getpgrp() == os.getpid():
    end_with({owner!r}, end)
"""


def check_num_ranks(num_ranks: int) -> None:
    """Raise UsageError if so many ranks cannot be started on this machine."""
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


class LocalEngines(Engines):
    """MPI engines on this machine, started by ``mpiexec``."""

    heartbeat_misses = HEARTBEAT_MISSES

    def __init__(self):
        super().__init__()
        self._launcher = None
        self._deaths = Path()
        self._oom_kills = 0

    def check_num_ranks(self, num_ranks: int) -> None:
        check_num_ranks(num_ranks)

    def _mpiexec(self) -> list[str]:
        return [find_mpiexec()]

    def _controller_args(self) -> list[str]:
        return []

    def _engine_command(self) -> list[str]:
        return ["/bin/sh", "-c", GUARD, "labkit-rank", sys.executable, "-m", "ipyparallel.engine"]

    def _controller_config(self) -> str:
        return CONTROLLER_CONFIG.format(directory=self._directory, owner=os.getpid())

    def _start_controller(self) -> None:
        import ipyparallel
        from traitlets.config import Config

        mpiexec = self._mpiexec()
        self._directory = tempfile.mkdtemp(prefix="labkit-engines-")
        Path(self._directory, "ipcontroller_config.py").write_text(self._controller_config())
        config = Config()
        config.MPILauncher.mpi_cmd = mpiexec
        config.MPIEngineSetLauncher.mpi_cmd = mpiexec
        config.EngineLauncher.engine_cmd = self._engine_command()
        config.EngineLauncher.engine_args = ["--log-level=30"]
        self._cluster = ipyparallel.Cluster(
            engines="mpi",
            cluster_file="",  # it would be written once more, in a folder made anew, when the controller ends
            profile_dir=self._directory,
            load_profile=False,
            config=config,
            log=quiet_log(),
            delay=0,
            shutdown_atexit=False,
            controller_args=[
                "--nodb",  # nobody asks the controller for results of the past: do not keep them
                f"--HeartMonitor.period={HEARTBEAT_MS}",
                f"--HeartMonitor.max_heartmonitor_misses={self.heartbeat_misses}",
                *self._controller_args(),
            ],
        )
        atexit.register(self.stop)
        self._cluster.start_controller_sync()
        self._client = self._cluster.connect_client_sync()

    def _launch(self, num_ranks: int, say=None) -> None:
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

    def _check_launched(self, num_connected: int, num_ranks: int, seconds: float) -> None:
        if self._launcher.state == "after" or not self._launcher.process.is_running():
            raise EnginesError(
                f"mpiexec ended before {num_ranks} ranks had connected: "
                f"{last_words(self._launcher.get_output())}"
            )
        if seconds > START_TIMEOUT_S:
            raise EnginesError(
                f"Only {num_connected} of {num_ranks} ranks connected within {START_TIMEOUT_S} s. "
                f"Try fewer ranks (-n), or see labkit doctor."
            )

    def _kill_ranks(self) -> None:
        import psutil

        for rank in self.ranks:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(rank.pid)
                if process.create_time() == rank.created:
                    process.kill()
        self._wait_for_launcher()

    def stop(self) -> None:
        super().stop()
        self._launcher = None

    def cause_of_loss(self) -> tuple[int | None, str]:
        self._wait_for_launcher()
        out_of_memory = num_oom_kills() > self._oom_kills
        guards = {(rank.host, rank.guard_pid): rank.rank for rank in self.ranks}
        cause = read_death_notes(self._deaths, guards, out_of_memory)
        self.end_ranks()
        return cause

    def _wait_for_launcher(self) -> None:
        """Until mpiexec has ended, as it does when a rank has; end it if it does not."""
        launcher = self._launcher
        if launcher is None:
            return
        deadline = time.monotonic() + EXIT_TIMEOUT_S
        while _is_alive(launcher.process):
            if time.monotonic() > deadline:
                launcher.signal(signal.SIGKILL)
                break
            time.sleep(0.02)


def _is_alive(process) -> bool:
    import psutil

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # between the two questions
        return False
