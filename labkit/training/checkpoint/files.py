"""Files that are there whole or not at all.

A file is written under a temporary name in its own folder, forced to the disk, and renamed; then the folder is
forced to the disk, because the new name is an entry of the folder. Whatever stops the machine, a reader finds the
old file or the new one. The order matters: a name that reaches the disk before the bytes would be a whole name of
half a file.

Every system call that changes the disk passes :func:`_tell`, where tests end the process or record the call.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from labkit.training.checkpoint.checksum import BLOCK_BYTES, crc32_of

TEMPORARY = ".writing"  # ends the names of files that are not complete
START_WRITING_EVERY_BYTES = 2 * BLOCK_BYTES
FULL = {
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the file is larger than the limit allows",
}  # fmt: skip
SYNC_FILE_RANGE_WRITE = 2

# Told the name of the call, the path and details before each of them: how tests of faults strike at any moment.
before_call: Callable[..., None] | None = None


def _tell(call: str, path: Path, **details) -> None:
    if before_call is not None:
        before_call(call, path, **details)


def write_file(path: Path, buffers: Sequence[memoryview]) -> list[int]:
    """Write buffers one after another into a file that appears whole or not at all.

    Parameters
    ----------
    path : Path
    buffers : sequence of memoryview
        Of bytes.

    Returns
    -------
    list of int
        CRC-32 of each block of ``BLOCK_BYTES``, computed by a second thread while the first one writes.

    Raises
    ------
    OSError
        As the operating system says; the temporary file is gone then.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    _tell("open", temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        try:
            with ThreadPoolExecutor(1) as pool:
                checksums = _write_blocks(descriptor, temporary, buffers, pool)
            _tell("fsync", temporary)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _tell("rename", temporary, to=path)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell; a full disk wants the space back
            os.unlink(temporary)
        raise
    sync_folder(path.parent)
    return checksums


def _write_blocks(descriptor: int, path: Path, buffers: Sequence[memoryview], pool: ThreadPoolExecutor) -> list[int]:
    checksums, offset, started = [], 0, 0
    for block in blocks_of(buffers):
        checksums.append(pool.submit(crc32_of, block))
        _tell("write", path, offset=offset, block=block)
        offset += write_all(descriptor, block, offset)
        if offset - started >= START_WRITING_EVERY_BYTES:
            start_writing(descriptor, started, offset - started)
            started = offset
    return [future.result() for future in checksums]


def write_all(descriptor: int, block: list[memoryview], offset: int) -> int:
    """Write buffers at ``offset``, however often the system takes a part only; returns the bytes."""
    rest, done = list(block), 0
    while rest:
        written = os.pwritev(descriptor, rest[:512], offset + done)
        if written == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done += written
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if written:
            rest[0] = rest[0][written:]
    return done


def blocks_of(buffers: Sequence[memoryview], size: int = BLOCK_BYTES) -> list[list[memoryview]]:
    """Cut a row of buffers into blocks of ``size`` bytes, the last one shorter; each is a list of views.

    Examples
    --------
    >>> [[bytes(view) for view in block] for block in blocks_of([memoryview(b"abc"), memoryview(b"de")], 2)]
    [[b'ab'], [b'c', b'd'], [b'e']]
    """
    blocks: list[list[memoryview]] = []
    room = 0
    for buffer in buffers:
        at = 0
        while at < len(buffer):
            if room == 0:
                blocks.append([])
                room = size
            part = buffer[at : at + room]
            blocks[-1].append(part)
            at, room = at + len(part), room - len(part)
    return blocks


def read_all(descriptor: int, block: list[memoryview], offset: int) -> int:
    """Fill buffers from ``offset`` on; returns the bytes read, fewer than wanted only at the end of the file."""
    rest, done = list(block), 0
    while rest:
        count = os.preadv(descriptor, rest[:512], offset + done)
        if count == 0:
            break
        done += count
        while rest and count >= len(rest[0]):
            count -= len(rest.pop(0))
        if count:
            rest[0] = rest[0][count:]
    return done


def write_text(path: Path, text: str) -> None:
    """Write a short text that appears whole or not at all."""
    write_file(path, [memoryview(text.encode())])


def make_folder(path: Path, sync: bool = True) -> None:
    """Make a folder, and those above it; with ``sync`` its name survives a crash of the machine."""
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_folder(path.parent)
    _tell("mkdir", path)
    path.mkdir(exist_ok=True)
    if sync:
        sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, or an empty folder; one that is gone already is no error."""
    _tell("remove", path)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir() if path.is_dir() else path.unlink()


def sync_folder(path: Path) -> None:
    """Force the names in a folder to the disk."""
    _tell("fsync folder", path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems sync names by themselves
            raise
    finally:
        os.close(descriptor)


def start_writing(descriptor: int, offset: int, num_bytes: int) -> None:
    """Ask the system to begin to move bytes to the disk, without waiting: less is left for fsync. Linux only."""
    function = _sync_file_range()
    if function is not None:
        function(descriptor, offset, num_bytes, SYNC_FILE_RANGE_WRITE)  # a hint: whether it fails does not matter


@functools.cache
def _sync_file_range():
    try:
        function = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


def bytes_of(array: np.ndarray) -> memoryview:
    """The memory of a contiguous array as bytes; also of an empty one."""
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(b"")
