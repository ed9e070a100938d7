"""What all sets of MPI engines have in common: ipyparallel's client, starting, ending, submitting."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import re
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from labkit.cluster.folder import remove_folder
from labkit.errors import EnginesError, NotAvailableError

SET_UP_TIMEOUT_S = 120
ASK_AGAIN_S = 0.3
EXIT_TIMEOUT_S = 10
ERROR = re.compile(r"(?i)error|fatal|critical|cannot|not found|no such|denied|unable|failed")
LAUNCHER = re.compile(r"srun:|slurmstepd|\[mpiexec@|\[proxy")  # they tell of the end, not of its cause


@dataclass(frozen=True, slots=True)
class Rank:
    """Where one MPI rank lives: its ipyparallel engine, its process and its machine."""

    rank: int
    engine_id: int
    pid: int
    guard_pid: int
    host: str
    created: float  # of the process, so that a reused pid is not taken for it
    gpu: str = ""  # the device that is its own, by name; "" if there is none


class Engines(ABC):
    """A set of MPI engines.

    ``start`` may be called again after ``stop`` or after the engines were lost.

    Attributes
    ----------
    ranks : list of Rank
        The running ranks, in rank order; [] when none run.
    library : str
        The MPI library of the engines.
    num_cells : int
        How many cells they have run.
    """

    where = "this machine"

    def __init__(self):
        self.ranks: list[Rank] = []
        self.library = ""
        self.num_cells = 0
        self._directory: str | None = None
        self._cluster = None
        self._client = None
        self._ended: set[str] = set()  # engines of worlds that are gone, by uuid: their ids are given again

    # -- what differs ---------------------------------------------------------------------------

    @abstractmethod
    def check_num_ranks(self, num_ranks: int) -> None:
        """Raise UsageError if so many ranks cannot be started."""

    @abstractmethod
    def _start_controller(self) -> None:
        """Start the controller and connect ``_client``, with files in ``_directory``."""

    @abstractmethod
    def _launch(self, num_ranks: int, say: Callable[[str], None]) -> None:
        """Start the processes of one MPI world."""

    @abstractmethod
    def _check_launched(self, num_connected: int, num_ranks: int, seconds: float) -> None:
        """Raise EnginesError if the world that was launched will not come up."""

    @abstractmethod
    def _kill_ranks(self) -> None:
        """End the processes of the world, and wait until they have ended."""

    @abstractmethod
    def cause_of_loss(self) -> tuple[int | None, str]:
        """After a rank was lost: which one (None if unknown) and how, in words. Ends the others."""

    # -- life -----------------------------------------------------------------------------------

    @property
    def num_ranks(self) -> int:
        return len(self.ranks)

    def start(self, num_ranks: int, progress: Callable[[str], None] = lambda text: None) -> None:
        """Start ``num_ranks`` ranks; ``progress`` is told what is happening, in words."""
        self.check_num_ranks(num_ranks)
        self._check_software()
        started = time.monotonic()

        def say(text: str) -> None:
            progress(f"Starting {num_ranks} MPI ranks: {text} ({time.monotonic() - started:.0f} s)")

        try:
            if self._client is None:
                say("the controller")
                self._ended.clear()
                self._start_controller()
            say("the ranks")
            self._launch(num_ranks, say)
            self.wait_for_engines(num_ranks, say)
            say("one MPI world")
            self.set_up(num_ranks)
        except BaseException:
            self.stop()
            raise
        progress(
            f"{num_ranks} MPI rank{'s' if num_ranks > 1 else ''} started{self.of_where()} in "
            f"{time.monotonic() - started:.1f} s."
        )

    def of_where(self) -> str:
        """Where the ranks are, as in `` on 2 nodes (n1, n2)``; "" on this machine."""
        return ""

    def _check_software(self) -> None:
        import importlib.util

        if importlib.util.find_spec("mpi4py") is None:
            raise NotAvailableError(
                "No MPI here: the Python package mpi4py is not installed. "
                "Install it with: pip install mpich mpi4py"
            )

    def stop(self) -> None:
        """End the ranks and the controller. Safe to call at any time."""
        atexit.unregister(self.stop)
        self.end_ranks()
        client, cluster, directory = self._client, self._cluster, self._directory
        self._client = self._cluster = self._directory = None
        if client is not None:
            client.close(linger=0)
        if cluster is not None:
            _stop_quietly(cluster)
        if directory is not None:
            remove_folder(directory)

    def end_ranks(self) -> None:
        """End all ranks at once."""
        self._kill_ranks()
        self.ranks = []
        if self._client is not None:
            # The controller may take them for living until their hearts have missed some beats.
            self._ended |= set(dict(self._client._engines).values())

    def lost(self) -> bool:
        """Whether a rank that should run is gone."""
        return bool(self.ranks) and not {r.engine_id for r in self.ranks} <= set(self._client.ids)

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

    def wait_for_engines(self, num_ranks: int, say) -> None:
        shown, started = -1, time.monotonic()
        while (connected := len(self._new_ids())) < num_ranks:
            if connected != shown:
                say(f"{connected} of {num_ranks} connected")
                shown = connected
            self._check_launched(connected, num_ranks, time.monotonic() - started)
            time.sleep(0.05)

    def _new_ids(self) -> list[int]:
        return [eid for eid, uuid in sorted(dict(self._client._engines).items()) if uuid not in self._ended]

    def set_up(self, num_ranks: int, patience_s: float = SET_UP_TIMEOUT_S) -> None:
        """Check that the engines are one MPI world, and note where each rank is."""
        ids = self._new_ids()
        self._wait_for_answers(ids, patience_s)
        results = {eid: self._client[eid].apply_async(_set_up, self._owner_of_ranks()) for eid in ids}
        facts = {eid: result.get(timeout=patience_s) for eid, result in results.items()}
        sizes = sorted({fact["size"] for fact in facts.values()})
        if sizes != [num_ranks]:
            raise EnginesError(self._no_world(num_ranks, sizes, facts))
        self.library = next(iter(facts.values()))["library"]
        self.ranks = sorted(
            (
                Rank(
                    rank=fact["rank"], engine_id=eid, pid=fact["pid"], guard_pid=fact["guard_pid"],
                    host=fact["host"], created=fact["created"], gpu=fact["gpu"],
                )
                for eid, fact in facts.items()
            ),
            key=lambda rank: rank.rank,
        )
        self.num_cells = 0

    def _wait_for_answers(self, ids: list[int], patience_s: float) -> None:
        """Until every engine has answered once.

        An engine is announced when its heart beats, which may be before its other connections stand; what is
        sent until then is dropped without a word, so it is sent again.
        """
        deadline = time.monotonic() + patience_s
        silent = set(ids)
        while silent:
            results = {eid: self._client[eid].apply_async(os.getpid) for eid in silent}
            until = min(deadline, time.monotonic() + ASK_AGAIN_S)
            for eid, result in results.items():
                result.wait(max(0.0, until - time.monotonic()))
                if result.ready():
                    silent.discard(eid)
            answered = [result.msg_ids[0] for result in results.values() if result.ready()]
            if answered:
                self._client.purge_local_results(answered)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(silent)} of {len(ids)} ranks did not answer within {patience_s:g} s")

    def _owner_of_ranks(self) -> int | None:
        """The process of this machine with which the ranks end; None if they are elsewhere."""
        return os.getpid()

    def _no_world(self, num_ranks: int, sizes: list[int], facts: dict[int, dict]) -> str:
        return (
            f"The {num_ranks} processes do not form one MPI world: they see worlds of size "
            f"{', '.join(map(str, sizes))}. mpiexec and the MPI library of mpi4py are of "
            f"different kinds; labkit doctor names both."
        )


def quiet_log() -> logging.Logger:
    """For ipyparallel, whose own words are for its developers."""
    log = logging.getLogger("labkit.engines")
    log.setLevel(logging.ERROR)
    return log


def last_words(output: str) -> str:
    """What a program has printed, in one line: where it speaks of an error the first such lines, else the last."""
    lines = [line.strip("= ") for line in output.splitlines() if line.strip("= ")]
    errors = [line for line in lines if ERROR.search(line) and not LAUNCHER.match(line)]
    chosen = list(dict.fromkeys(errors))[:3] or lines[-3:]
    return " | ".join(chosen) if chosen else "it printed nothing"


def _stop_quietly(cluster) -> None:
    try:
        cluster.stop_cluster_sync()
    except Exception as error:  # it may be gone already
        logging.getLogger(__name__).debug("stopping the controller: %r", error)


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
