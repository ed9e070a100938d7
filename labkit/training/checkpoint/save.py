"""Writing a checkpoint: every rank its shard, then rank 0 the manifest."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from labkit.errors import CheckpointError, UsageError
from labkit.training.checkpoint import files
from labkit.training.checkpoint.checksum import BLOCK_BYTES
from labkit.training.checkpoint.folder import CheckpointFolder
from labkit.training.checkpoint.manifest import NAME, Manifest, ShardFile
from labkit.training.checkpoint.snapshot import Snapshot, Snapshots
from labkit.training.checkpoint.tree import flatten


def save_checkpoint(folder, step: int, state, *, comm=None, keep: int | None = None) -> Path:
    """Write a checkpoint and return when it is complete on the disk.

    Every rank calls it. Replicated tensors are divided among the ranks, so that p ranks write a p-th each.

    Parameters
    ----------
    folder : str, Path or CheckpointFolder
        Is made if need be; one checkpoint a step lies below it.
    step : int
        Number of steps done.
    state : tree
        See :func:`labkit.training.checkpoint.tree.flatten`.
    comm : communicator, optional
        With mpi4py's names; none is one rank.
    keep : int, optional
        Afterwards remove all but the newest ``keep``.

    Returns
    -------
    Path
        The folder of this checkpoint.

    Raises
    ------
    CheckpointError
        It could not be written: on all ranks, with the rank and the reason. Older ones are as they were.
    UsageError
        A value that cannot be stored.

    Examples
    --------
    >>> import tempfile, torch
    >>> from labkit.training.checkpoint.load import load_checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_checkpoint(folder, 20, {"model": {"w": torch.ones(2)}, "step": 20})
    ...     load_checkpoint(folder).state
    {'model': {'w': tensor([1., 1.])}, 'step': 20}
    """
    target = folder if isinstance(folder, CheckpointFolder) else CheckpointFolder(folder)
    check_step(step)
    rank, size = rank_and_size(comm)
    attempt = new_attempt(comm)
    snapshot = Snapshots(rank, size).take(step, flatten(state, rank))
    shard = error = None
    try:
        shard = write_shard(target, snapshot, attempt, rank, size)
    except OSError as problem:
        error = words_of(problem, target, step, snapshot.num_bytes)
    answers = gathered(comm, (shard, error))
    raise_first(answers, lambda: discard(target, step, attempt, rank, size))
    if rank == 0:
        try:
            write_manifest(target, snapshot, [shard for shard, _ in answers])
        except OSError as problem:
            error = words_of(problem, target, step, 0)
    raise_first(gathered(comm, (None, error)), lambda: discard(target, step, attempt, rank, size))
    if keep is not None and rank == 0:
        tidy_quietly(target, keep)
    return target.of_step(step)


def check_step(step: int) -> None:
    """A step is a number from 0 to 12 digits."""
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 10**12:
        raise UsageError(f"the step of a checkpoint is a whole number from 0 to 999999999999, not {step!r}.")


def rank_and_size(comm) -> tuple[int, int]:
    return (0, 1) if comm is None else (comm.rank, comm.size)


def gathered(comm, value) -> list:
    """The values of all ranks."""
    return [value] if comm is None or comm.size == 1 else comm.allgather(value)


def new_attempt(comm) -> str:
    """A word for the files of one run: two attempts at one step never share a file."""
    return gathered(comm, secrets.token_hex(4))[0]


def write_shard(folder: CheckpointFolder, snapshot: Snapshot, attempt: str, rank: int, size: int) -> ShardFile:
    """Write what this rank has; returns what the manifest says of it."""
    path = folder.of_step(snapshot.step)
    files.make_folder(path, sync=False)  # before the manifest: with the shards on the disk it costs next to nothing
    name = f"{part_name(rank, size, attempt)}.bin"
    crc32 = files.write_file(path / name, snapshot.buffers)
    return ShardFile(
        name, snapshot.num_bytes, BLOCK_BYTES, tuple(crc32), snapshot.pieces, snapshot.tensors, snapshot.rank_tree
    )


def part_name(rank: int, size: int, attempt: str) -> str:
    return f"shard-{rank:05}-of-{size:05}.{attempt}"


def write_note(folder: CheckpointFolder, step: int, shard: ShardFile) -> None:
    """Tell rank 0, by way of the folder, that a shard is written."""
    files.write_text(folder.of_step(step) / note_name(shard.file), json.dumps(shard.to_json()))


def note_name(file: str) -> str:
    return f"{file.removesuffix('.bin')}.json"


def read_note(path: Path) -> ShardFile:
    return ShardFile.from_json(json.loads(path.read_text()))


def write_manifest(folder: CheckpointFolder, snapshot: Snapshot, shards: list[ShardFile]) -> None:
    """Make the checkpoint complete."""
    path = folder.of_step(snapshot.step)
    files.sync_folder(folder.path)
    files.write_text(path / NAME, Manifest(snapshot.step, snapshot.tree, tuple(shards)).to_text())


def discard(folder: CheckpointFolder, step: int, attempt: str, rank: int, size: int) -> None:
    """Remove this rank's files of an attempt that failed, and the folder if nothing else is in it.

    A manifest that got its name, although the folder could not be forced to the disk, keeps its shards.
    """
    path, name = folder.of_step(step), part_name(rank, size, attempt)
    try:
        if folder.names(step, f"{name}.bin"):
            return
        for end in (".bin", ".json"):
            files.remove(path / f"{name}{end}")
        os.rmdir(path)
    except OSError:
        pass  # it holds something else, or the disk is in trouble: leave it


def tidy_quietly(folder: CheckpointFolder, keep: int) -> None:
    """Remove old checkpoints; what cannot be removed stays, and the next time tries again."""
    try:
        folder.tidy(keep)
    except OSError:
        pass


def raise_first(answers: list[tuple[object, str | None]], clean: Callable[[], None]) -> None:
    """Raise the error of the lowest rank that has one, on every rank."""
    for rank, (_, error) in enumerate(answers):
        if error is not None:
            clean()
            raise CheckpointError(error if len(answers) == 1 else f"rank {rank}: {error}")


def words_of(problem: OSError, folder: CheckpointFolder, step: int, num_bytes: int) -> str:
    """An error of the disk: the rule, the values, the next step."""
    reason = files.FULL.get(problem.errno) or (problem.strerror or str(problem))
    try:
        free = f"{shutil.disk_usage(folder.path).free:,} bytes are free there"
    except OSError:
        free = "the folder cannot be reached"
    kept = ", ".join(map(str, folder.steps))
    older = f"the checkpoints of steps {kept} are as they were" if kept else "there was no checkpoint before it"
    return (
        f"the checkpoint of step {step} could not be written to {folder.path}: {reason} (this part has {num_bytes:,} "
        f"bytes; {free}); {older}. Make room or choose another folder, and resume."
    )
