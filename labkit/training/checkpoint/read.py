"""Reading tensors out of shards, straight to where they will be, each block compared with its checksum."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from labkit.training.checkpoint import files
from labkit.training.checkpoint.checksum import crc32_of
from labkit.training.checkpoint.manifest import Manifest, ShardFile
from labkit.training.checkpoint.tensors import Arena, as_tensor, dtype_of

SMALL_GAP_BYTES = 2**12


class Damaged(Exception):
    """A file of a checkpoint is not what it was when it was written."""


def read_tensors(path: Path, manifest: Manifest, wanted: Mapping[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    """Read elements ``start`` to ``stop`` of tensors, straight to where they will be.

    Returns
    -------
    dict of str to torch.Tensor
        Flat tensors, over one block of memory.
    """
    dtypes = {name: dtype_of(manifest.tensors[name].dtype) for name in wanted}
    sizes = {name: (stop - start) * dtypes[name].itemsize for name, (start, stop) in wanted.items()}
    arena = Arena(sum(map(Arena.rounded, sizes.values())))
    memory = {name: arena.take(size) for name, size in sizes.items()}
    filled = dict.fromkeys(wanted, 0)
    with ThreadPoolExecutor(1) as pool:
        for shard in manifest.shards:
            for name, num_bytes in _read_shard(path, shard, wanted, memory, pool).items():
                filled[name] += num_bytes
    for name, size in sizes.items():
        if filled[name] != size:
            raise Damaged(f"{filled[name]} of {size} bytes of {name} are in its files")
    return {name: as_tensor(memory[name], dtypes[name]) for name in wanted}


def _read_shard(path: Path, shard: ShardFile, wanted, memory, pool: ThreadPoolExecutor) -> dict[str, int]:
    """Read what is wanted of one file; returns the bytes by name."""
    places, counts = [], {}  # (offset in the file, where it goes)
    for piece in shard.pieces:
        if piece.name not in wanted or piece.start == piece.stop:
            continue
        itemsize = piece.num_bytes // (piece.stop - piece.start)
        start, stop = max(piece.start, wanted[piece.name][0]), min(piece.stop, wanted[piece.name][1])
        if start >= stop:
            continue
        first = (start - wanted[piece.name][0]) * itemsize
        view = memoryview(memory[piece.name])[first : first + (stop - start) * itemsize]
        places.append((piece.offset + (start - piece.start) * itemsize, view))
        counts[piece.name] = counts.get(piece.name, 0) + len(view)
    file = path / shard.file
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise Damaged(f"{shard.file} is missing") from None
    if size != shard.num_bytes:
        raise Damaged(f"{shard.file} has {size:,} bytes, and had {shard.num_bytes:,} when it was written")
    if places:
        _read_blocks(file, shard, places, pool)
    return counts


def _read_blocks(file: Path, shard: ShardFile, places: list[tuple[int, memoryview]], pool: ThreadPoolExecutor) -> None:
    """Read the blocks that hold what is wanted; what else is in them is read too, for their checksums."""
    scratch = memoryview(bytearray(shard.block_bytes))
    sums = []
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for number, parts in _by_block(places, shard.block_bytes).items():
            length = min(shard.block_bytes, shard.num_bytes - number * shard.block_bytes)
            views, in_scratch = _without_gaps(parts, length, scratch)
            if files.read_all(descriptor, views, number * shard.block_bytes) != length:
                raise Damaged(f"{shard.file} ends within block {number} of {len(shard.crc32)}")
            # The scratch memory is used again at once, so a block in it cannot be left to the other thread.
            sums.append((number, crc32_of(views) if in_scratch else pool.submit(crc32_of, views)))
    finally:
        os.close(descriptor)
    for number, value in sums:
        if (value if isinstance(value, int) else value.result()) != shard.crc32[number]:
            raise Damaged(_damage(shard, number))


def _by_block(places: list[tuple[int, memoryview]], block_bytes: int) -> dict[int, list[tuple[int, memoryview]]]:
    """Number of a block -> (offset in the block, where it goes), in order."""
    blocks: dict[int, list[tuple[int, memoryview]]] = {}
    for offset, view in places:
        while len(view):
            number, within = divmod(offset, block_bytes)
            part = view[: block_bytes - within]
            blocks.setdefault(number, []).append((within, part))
            offset, view = offset + len(part), view[len(part) :]
    return {number: sorted(parts, key=lambda pair: pair[0]) for number, parts in sorted(blocks.items())}


def _without_gaps(
    parts: list[tuple[int, memoryview]], length: int, scratch: memoryview
) -> tuple[list[memoryview], bool]:
    """Views that cover a block, and whether a gap was large enough for the scratch memory; small ones get their own."""
    views, end, in_scratch = [], 0, False
    for within, part in [*parts, (length, scratch[:0])]:
        if within - end > SMALL_GAP_BYTES:
            views.append(scratch[end:within])
            in_scratch = True
        elif within > end:
            views.append(memoryview(bytearray(within - end)))
        if len(part):
            views.append(part)
        end = within + len(part)
    return views, in_scratch


def _damage(shard: ShardFile, number: int) -> str:
    first, after = number * shard.block_bytes, (number + 1) * shard.block_bytes
    names = [piece.name for piece in shard.pieces if piece.offset < after and piece.offset + piece.num_bytes > first]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"block {number} of {len(shard.crc32)} of {shard.file} does not have its checksum "
        f"(bytes {first:,} to {min(after, shard.num_bytes):,}, of {', '.join(names[:3])}{more})"
    )
