"""The manifest: what a checkpoint consists of. It is written last, and makes the checkpoint complete."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.errors import CheckpointError
from labkit.training.checkpoint.pieces import Piece

NAME = "manifest.json"
FORMAT, VERSION = "labkit checkpoint", 1
MOST_NAMED = 6  # differences in one message


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What is known of a tensor without reading it: dtype (``float32``), shape of the whole, whether it is spread."""

    dtype: str
    shape: tuple[int, ...]
    is_shard: bool = False


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One rank's part.

    Attributes
    ----------
    file : str
        Its name in the folder of the checkpoint.
    num_bytes : int
    block_bytes : int
    crc32 : tuple of int
        Of each block of ``block_bytes``.
    pieces : tuple of Piece
    tensors : dict of str to TensorInfo
        Those it has pieces of.
    rank_tree : JSON value
        What this rank alone has: see :class:`labkit.training.checkpoint.tree.Flat`.
    """

    file: str
    num_bytes: int
    block_bytes: int
    crc32: tuple[int, ...]
    pieces: tuple[Piece, ...]
    tensors: dict[str, TensorInfo]
    rank_tree: Any

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict) -> ShardFile:
        return cls(
            value["file"], value["num_bytes"], value["block_bytes"], tuple(value["crc32"]),
            tuple(Piece(**piece) for piece in value["pieces"]),
            {name: TensorInfo(t["dtype"], tuple(t["shape"]), t["is_shard"]) for name, t in value["tensors"].items()},
            value["rank_tree"],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manifest:
    """A complete checkpoint.

    Attributes
    ----------
    step : int
        Steps done when it was taken.
    tree : JSON value
        The state, with names in the place of tensors.
    shards : tuple of ShardFile
        By the rank that wrote it.
    """

    step: int
    tree: Any
    shards: tuple[ShardFile, ...]

    @property
    def num_ranks(self) -> int:
        return len(self.shards)

    @property
    def num_bytes(self) -> int:
        return sum(shard.num_bytes for shard in self.shards)

    @property
    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by name."""
        return {name: info for shard in self.shards for name, info in shard.tensors.items()}

    def signature_of(self, prefix: str) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Name -> (dtype, shape) of the tensors whose names begin with a prefix, without it."""
        return {
            name.removeprefix(prefix): (info.dtype, info.shape)
            for name, info in self.tensors.items() if name.startswith(prefix)
        }  # fmt: skip

    def to_text(self) -> str:
        """JSON with a checksum of itself."""
        content = {
            "format": FORMAT, "version": VERSION, "byte_order": sys.byteorder, "step": self.step,
            "num_ranks": self.num_ranks, "tree": self.tree, "shards": [shard.to_json() for shard in self.shards],
        }  # fmt: skip
        return json.dumps({"crc32": _checksum(content), "content": content})

    @classmethod
    def from_text(cls, text: str) -> Manifest:
        """Read it back.

        Raises
        ------
        ValueError
            It is no manifest, or damaged; the message continues "its manifest ...".
        """
        try:
            value = json.loads(text)
            content, checksum = value["content"], value["crc32"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"is cut off or damaged ({len(text)} characters)") from None
        if _checksum(content) != checksum:
            raise ValueError("does not have the checksum it was written with")
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise ValueError(
                f"is of format {content.get('format')!r}, version {content.get('version')!r}; this program reads "
                f"{FORMAT!r}, version {VERSION}"
            )
        if content["byte_order"] != sys.byteorder:
            raise ValueError(f"is of a {content['byte_order']}-endian machine; this one is {sys.byteorder}-endian")
        return cls(content["step"], content["tree"], tuple(map(ShardFile.from_json, content["shards"])))


def _checksum(content: dict) -> int:
    return zlib.crc32(json.dumps(content).encode())


def differences(stored: Mapping[str, tuple], wanted: Mapping[str, tuple]) -> list[str]:
    """How the tensors of a checkpoint and of a model differ, in words; none if they agree.

    Parameters
    ----------
    stored, wanted : mapping of str to (dtype, shape)
        By name: of the checkpoint, of the model.

    Examples
    --------
    >>> differences({"a": ("float32", (2,)), "b": ("float32", (3,))}, {"a": ("float32", (4,)), "c": ("float32", ())})
    ['a: shape (2,) in the checkpoint, (4,) in the model', 'b: not in the model', 'c: not in the checkpoint']
    """
    lines = []
    for name in sorted({**stored, **wanted}):
        if name not in wanted:
            lines.append(f"{name}: not in the model")
        elif name not in stored:
            lines.append(f"{name}: not in the checkpoint")
        elif stored[name][1] != wanted[name][1]:
            lines.append(f"{name}: shape {stored[name][1]} in the checkpoint, {wanted[name][1]} in the model")
        elif stored[name][0] != wanted[name][0]:
            lines.append(f"{name}: {stored[name][0]} in the checkpoint, {wanted[name][0]} in the model")
    return lines


def refuse_another_model(folder: Path, stored: Mapping[str, tuple], wanted: Mapping[str, tuple]) -> None:
    """Raise CheckpointError with the differences if there are any."""
    lines = differences(stored, wanted)
    if not lines:
        return
    more = f"; and {len(lines) - MOST_NAMED} more" if len(lines) > MOST_NAMED else ""
    raise CheckpointError(
        f"the checkpoint {folder} is of another model: {'; '.join(lines[:MOST_NAMED])}{more}. "
        "Nothing was changed. Build the model it was made with, or choose another folder."
    )
