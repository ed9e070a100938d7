"""Checkpoints that are written while the training goes on.

:meth:`CheckpointWriter.save` copies this rank's part of the state to memory and returns; a thread writes it. There
are two such copies, so that one can be taken while the other is being written. A third checkpoint waits for one of
them to be free (``when_busy="wait"``), or is left out on all ranks if any rank has none free (``when_busy="skip"``).

The thread of rank 0 writes the manifest once all shards are there. It learns of them by notes in the folder, not by
messages: the communicator belongs to the thread that trains.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

from labkit.errors import CheckpointError, UsageError
from labkit.training.checkpoint import save
from labkit.training.checkpoint.folder import CheckpointFolder
from labkit.training.checkpoint.manifest import ShardFile
from labkit.training.checkpoint.save import gathered, rank_and_size
from labkit.training.checkpoint.snapshot import Snapshot, Snapshots
from labkit.training.checkpoint.tensors import Arena
from labkit.training.checkpoint.tree import flatten

WAIT, SKIP = "wait", "skip"
NUM_COPIES = 2
LOOK_EVERY_S = 0.005
FORGET = object()  # a job for the thread: leave the checkpoints that wait for other ranks


@dataclass(frozen=True, slots=True)
class Written:
    """One call of ``save``: how long training paused, and how long the thread wrote (None: left out, or not yet)."""

    step: int
    pause_s: float
    write_s: float | None


@dataclass(eq=False, slots=True)
class _Job:
    """A snapshot on its way to the disk."""

    snapshot: Snapshot
    copy: list[Arena]
    number: int  # in the history
    started: float
    shard: ShardFile | None = None


class CheckpointWriter:
    """Writes the checkpoints of one run.

    Parameters
    ----------
    folder : str, Path or CheckpointFolder
        Locked until :meth:`close`: two runs never write into one folder.
    comm : communicator, optional
        All ranks of it make the same calls. None is one rank.
    keep : int
        So many complete checkpoints stay.
    asynchronous : bool
        False writes within :meth:`save`, straight from the tensors.
    when_busy : {"wait", "skip"}
        What a checkpoint does when both copies are still being written.

    Attributes
    ----------
    history : list of Written
    last_step : int or None
        Of the checkpoint taken last.

    Raises
    ------
    UsageError
        Another run writes into the folder.
    CheckpointError
        From :meth:`save`, :meth:`wait` or :meth:`close`, on all ranks: an earlier checkpoint could not be written.

    Examples
    --------
    >>> import tempfile, torch
    >>> weights = torch.zeros(3)
    >>> with tempfile.TemporaryDirectory() as folder, CheckpointWriter(folder, keep=2) as writer:
    ...     for step in (1, 2, 3):
    ...         weights += 1
    ...         saved = writer.save(step, {"weights": weights})
    ...     writer.wait()
    ...     CheckpointFolder(folder).steps
    (2, 3)
    """

    def __init__(self, folder, comm=None, *, keep: int = 2, asynchronous: bool = True, when_busy: str = WAIT):
        if when_busy not in (WAIT, SKIP):
            raise UsageError(f"when_busy is {WAIT!r} or {SKIP!r}, not {when_busy!r}.")
        if keep < 1:
            raise UsageError(f"keep is the number of checkpoints that stay, at least 1, not {keep!r}.")
        self.folder = folder if isinstance(folder, CheckpointFolder) else CheckpointFolder(folder)
        self.comm, self.keep, self.asynchronous, self.when_busy = comm, keep, asynchronous, when_busy
        self.rank, self.size = rank_and_size(comm)
        self.history: list[Written] = []
        self.last_step: int | None = None
        self._lock_file = self._lock()
        self._attempt = save.new_attempt(comm)
        self._snapshots = Snapshots(self.rank, self.size)
        self._free: queue.Queue[list[Arena]] = queue.Queue()
        for _ in range(NUM_COPIES):
            self._free.put([])
        self._jobs: queue.Queue = queue.Queue()
        self._failed: tuple[int, str] | None = None
        self._pending: deque[_Job] = deque()  # on rank 0: shards written whose manifest waits for other ranks
        self._thread: threading.Thread | None = None

    def _lock(self) -> int | None:
        """Rank 0 takes the folder for all; what went wrong there is raised on all ranks."""
        descriptor = error = None
        if self.rank == 0:
            try:
                descriptor = self.folder.lock()
                self.folder.remove_broken_off()
            except (UsageError, OSError) as problem:
                error = problem if isinstance(problem, UsageError) else UsageError(
                    f"checkpoints cannot be written to {self.folder.path}: {problem.strerror}. Choose another folder."
                )
        error = gathered(self.comm, error)[0]
        if error is not None:
            raise error
        return descriptor

    def save(self, step: int, state) -> bool:
        """Take a checkpoint of what ``state`` is now; returns False if it was left out because the writer was busy."""
        started = time.perf_counter()
        save.check_step(step)
        flat = flatten(state, self.rank)
        if not self.asynchronous:
            save.save_checkpoint(self.folder, step, state, comm=self.comm, keep=self.keep)
            self._note(step, started, time.perf_counter() - started)
            return True
        answers = gathered(self.comm, (self._failed, self._free.empty()))
        self._raise([failed for failed, _ in answers])
        if self.when_busy == SKIP and any(busy for _, busy in answers):
            self._note(step, started, None)
            return False
        copy = self._free.get()
        snapshot = self._snapshots.take(step, flat, copy)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="labkit checkpoints", daemon=True)
            self._thread.start()
        self._note(step, started, None)
        self._jobs.put(_Job(snapshot, copy, len(self.history) - 1, time.perf_counter()))
        return True

    def _note(self, step: int, started: float, write_s: float | None) -> None:
        self.history.append(Written(step, time.perf_counter() - started, write_s))
        self.last_step = step

    def wait(self) -> None:
        """Return when all checkpoints taken are complete on the disk, on all ranks.

        Raises
        ------
        CheckpointError
            One of them could not be written.
        """
        self._jobs.join()
        self._raise(gathered(self.comm, self._failed))  # after this the notes of all ranks are there
        while self._pending and self._failed is None:
            time.sleep(LOOK_EVERY_S)
        self._raise(gathered(self.comm, self._failed))

    def close(self) -> None:
        """Wait, and let go of the folder."""
        try:
            self.wait()
        finally:
            self._let_go()

    def abandon(self) -> None:
        """Let go of the folder without a word to other ranks, which may be gone; what was taken is still written here."""
        self._let_go()

    def _let_go(self) -> None:
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.close()
        else:  # other ranks may not come to a collective call any more
            self._let_go()

    # -- the thread ---------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=LOOK_EVERY_S if self._pending else None)
            except queue.Empty:
                self._guarded(self._pending[0].snapshot, self._complete)
                continue
            if job is None:
                return
            if job is FORGET:
                self._pending.clear()
                self._jobs.task_done()
                continue
            if self._failed is None:
                self._guarded(job.snapshot, self._write, job)
            self._free.put(job.copy)
            self._jobs.task_done()

    def _guarded(self, snapshot: Snapshot, function, *arguments) -> None:
        """Call a function; what goes wrong is kept for the thread that trains."""
        try:
            function(*arguments)
        except OSError as problem:
            self._failed = snapshot.step, save.words_of(problem, self.folder, snapshot.step, snapshot.num_bytes)
        except Exception as problem:
            self._failed = snapshot.step, f"the checkpoint of step {snapshot.step} failed: {problem!r}"
        if self._failed is not None:
            self._pending.clear()

    def _write(self, job: _Job) -> None:
        job.shard = save.write_shard(self.folder, job.snapshot, self._attempt, self.rank, self.size)
        if self.rank == 0:
            self._pending.append(job)
            self._complete()
        else:
            save.write_note(self.folder, job.snapshot.step, job.shard)
            self._done(job)

    def _complete(self) -> None:
        """On rank 0: write the manifests of the checkpoints whose shards are all there."""
        while self._pending:
            job = self._pending[0]
            path = self.folder.of_step(job.snapshot.step)
            notes = [path / f"{save.part_name(rank, self.size, self._attempt)}.json" for rank in range(1, self.size)]
            if not all(note.exists() for note in notes):
                return
            save.write_manifest(self.folder, job.snapshot, [job.shard, *map(save.read_note, notes)])
            save.tidy_quietly(self.folder, self.keep)
            self._done(job)
            self._pending.popleft()

    def _done(self, job: _Job) -> None:
        entry = self.history[job.number]
        self.history[job.number] = Written(entry.step, entry.pause_s, time.perf_counter() - job.started)

    def _raise(self, failures: list[tuple[int, str] | None]) -> None:
        """Raise the failure of the lowest rank that has one, on every rank; afterwards the writer can go on."""
        found = [(rank, *failure) for rank, failure in enumerate(failures) if failure is not None]
        if not found:
            return
        rank, step, text = found[0]
        if self._failed is None:
            self._failed = step, text  # jobs that wait are left out, and so are shards that others will not write
        if self._thread is not None:  # which alone changes what is pending
            self._jobs.put(FORGET)
        self._jobs.join()
        self._failed = None
        save.discard(self.folder, step, self._attempt, self.rank, self.size)
        raise CheckpointError(text if self.size == 1 else f"rank {rank}: {text}")
