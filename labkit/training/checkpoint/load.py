"""Reading a checkpoint: the newest that is whole, on any number of ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labkit.errors import CheckpointError
from labkit.training.checkpoint.folder import CheckpointFolder
from labkit.training.checkpoint.manifest import Manifest, refuse_another_model
from labkit.training.checkpoint.pieces import even_share
from labkit.training.checkpoint.read import Damaged, read_tensors
from labkit.training.checkpoint.save import gathered, rank_and_size
from labkit.training.checkpoint.tree import Shard, owner_of, unflatten


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was loaded.

    Attributes
    ----------
    step : int
    num_ranks : int
        How many ranks wrote it.
    state : tree
        Tensors are whole; under a :class:`~labkit.training.checkpoint.tree.Shard` is this rank's part of now. A
        :class:`~labkit.training.checkpoint.tree.PerRank` holds what the rank of this number had; a rank that did not
        exist gets what rank ``rank % num_ranks`` had.
    path : Path
    notes : tuple of str
        A sentence for each newer checkpoint that could not be used.
    """

    step: int
    num_ranks: int
    state: Any
    path: Path
    notes: tuple[str, ...] = ()


def load_checkpoint(
    folder, *, comm=None, step: int | None = None, model: Mapping[str, tuple] | None = None,
    share: Callable[[int, int, int], tuple[int, int]] = even_share, set_aside: bool = False,
) -> Checkpoint:  # fmt: skip
    """Read the newest checkpoint that is whole.

    Every block that is read is compared with its checksum. If one is damaged, the checkpoint before it is used, on
    all ranks, and ``notes`` says so. Nothing that is read can run code: the files hold numbers and JSON.

    Parameters
    ----------
    folder : str, Path or CheckpointFolder
    comm : communicator, optional
        Of any size; every rank calls it.
    step : int, optional
        This one and no other.
    model : mapping of str to (dtype, shape), optional
        :func:`~labkit.training.checkpoint.tensors.signature` of what is to be loaded under the key ``model``.
    share : callable
        ``share(num_elements, rank, size) -> (start, stop)``: the part of a tensor that is spread over the ranks which
        a rank holds now.
    set_aside : bool
        Rename damaged checkpoints, so that the run that goes on can write those steps again.

    Raises
    ------
    CheckpointError
        There is no checkpoint, none is whole, or it is of another model.
    """
    target = folder if isinstance(folder, CheckpointFolder) else CheckpointFolder(folder)
    rank, size = rank_and_size(comm)
    steps = gathered(comm, target.steps if step is None else (step,))[0]
    notes: list[str] = []
    for at in reversed(steps):
        state = manifest = error = None
        try:
            manifest = target.manifest(at)
        except CheckpointError as problem:
            error = str(problem)
        else:
            if model is not None:
                refuse_another_model(target.of_step(at), manifest.signature_of("model."), model)
            try:
                state = read_state(target.of_step(at), manifest, rank, size, share)
            except (Damaged, OSError, ValueError) as problem:
                error = f"the checkpoint of step {at} in {target.path} cannot be used: {problem}."
        errors = [text for text in gathered(comm, error) if text is not None]
        if not errors:
            return Checkpoint(at, manifest.num_ranks, state, target.of_step(at), _with_outcome(notes, at))
        notes.append(errors[0])
        if set_aside and rank == 0:
            notes[-1] += f" It was renamed to {target.set_aside(at).name}."
    if not notes:
        raise CheckpointError(f"there is no checkpoint in {target.path}: a run with checkpoints there makes them.")
    raise CheckpointError(" ".join([*notes, "There is no other."]))


def _with_outcome(notes: list[str], step: int) -> tuple[str, ...]:
    return (*notes[:-1], f"{notes[-1]} The one of step {step} is used instead.") if notes else ()


def read_state(
    path: Path, manifest: Manifest, rank: int, size: int, share: Callable[[int, int, int], tuple[int, int]] = even_share
) -> Any:
    """The state as rank ``rank`` of ``size`` needs it.

    Raises
    ------
    Damaged
        A file is missing, too short, or without its checksum.
    """
    known = manifest.tensors
    source = rank % manifest.num_ranks
    wanted = {}
    for name, info in known.items():
        if owner_of(name) not in (None, source):
            continue
        size_of = int(np.prod(info.shape, dtype=np.int64))
        wanted[name] = share(size_of, rank, size) if info.is_shard else (0, size_of)
    flat = read_tensors(path, manifest, wanted)

    def tensor_of(name: str):
        info = known[name]
        return Shard(flat[name], info.shape, wanted[name][0]) if info.is_shard else flat[name].reshape(info.shape)

    return unflatten(manifest.tree, manifest.shards[source].rank_tree, tensor_of, source)
