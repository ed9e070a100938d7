"""Checkpoints: atomic, sharded, with checksums, for any number of ranks.

====================  ===============================================================================================
tree.py               a state as JSON and named tensors; what is replicated, spread over the ranks, or a rank's own
pieces.py             which rank writes which elements; where they lie in its file
snapshot.py           a rank's part, as it is or copied to memory (tensors.py: tensors as bytes)
files.py              files that are there whole or not at all (checksum.py: what is found if they are damaged)
manifest.py           what a checkpoint consists of; what differs from a model
folder.py             which checkpoints there are, and which may go
save.py               writing one: ``save_checkpoint``
writer.py             writing them while the training goes on: ``CheckpointWriter``
load.py               reading the newest that is whole: ``load_checkpoint`` (read.py: tensors out of shards)
rng.py                random numbers: their state, taken and put back
hook.py               checkpoints of a training run, and going on from them
====================  ===============================================================================================

A step is complete when its manifest is there. The manifest is written last, after every shard has been forced to the
disk, and each file gets its name only when its bytes are on the disk. So a process that is killed, or a machine that
loses power, loses at most the steps since the last complete checkpoint, and never that checkpoint.
"""

from importlib import import_module

_HOMES = {
    "save_checkpoint": "save", "load_checkpoint": "load", "Checkpoint": "load", "CheckpointWriter": "writer",
    "CheckpointFolder": "folder", "Shard": "tree", "PerRank": "tree", "random_state": "rng",
    "restore_random_state": "rng", "CheckpointHook": "hook", "signature": "tensors",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
