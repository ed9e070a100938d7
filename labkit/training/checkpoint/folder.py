"""A folder of checkpoints: which there are, which is the newest, and which may go.

::

    runs/mnist/
      lock                                      held by the run that writes
      step-000000000120/
        shard-00000-of-00002.5f3a9c.bin         what rank 0 wrote: bytes of tensors
        shard-00001-of-00002.5f3a9c.bin
        manifest.json                           written last: without it the step is not complete
      step-000000000140.damaged/                set aside: a shard did not have its checksum
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import time
from pathlib import Path

from labkit.errors import CheckpointError, UsageError
from labkit.training.checkpoint import files
from labkit.training.checkpoint.manifest import NAME, Manifest

STEP = re.compile(r"step-(\d{12})")
DAMAGED = ".damaged"
LOCK_WAIT_S = 10.0


class CheckpointFolder:
    """The checkpoints below a path. Making one does not touch the disk.

    Parameters
    ----------
    path : str or Path

    Examples
    --------
    >>> CheckpointFolder("/nowhere").steps
    ()
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"CheckpointFolder({str(self.path)!r}, steps={self.steps})"

    def of_step(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return self.path / f"step-{step:012}"

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps with a manifest, in order."""
        return tuple(step for step in self._all_steps() if (self.of_step(step) / NAME).is_file())

    def _all_steps(self) -> list[int]:
        """Also those that are not complete."""
        try:
            names = os.listdir(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(match[1]) for match in map(STEP.fullmatch, names) if match)

    def manifest(self, step: int) -> Manifest:
        """What the checkpoint of a step consists of.

        Raises
        ------
        CheckpointError
            There is none, or it is damaged.
        """
        path = self.of_step(step) / NAME
        try:
            manifest = Manifest.from_text(path.read_text())
        except FileNotFoundError:
            known = ", ".join(map(str, self.steps)) or "none"
            raise CheckpointError(f"{self.path} has no complete checkpoint of step {step}; it has: {known}.") from None
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint of step {step} in {self.path} cannot be used: its manifest {error}."
            ) from None
        return manifest

    def names(self, step: int, file: str) -> bool:
        """Whether the manifest of a step is whole and names a file."""
        try:
            return any(shard.file == file for shard in self.manifest(step).shards)
        except CheckpointError:
            return False

    def set_aside(self, step: int) -> Path:
        """Rename a damaged checkpoint, so that nobody takes it for the newest; its bytes stay for a look."""
        source = self.of_step(step)
        target = source.with_name(source.name + DAMAGED)
        number = 1
        while target.exists():
            number += 1
            target = source.with_name(f"{source.name}{DAMAGED}-{number}")
        os.rename(source, target)
        files.sync_folder(self.path)
        return target

    def remove(self, step: int) -> None:
        """Remove a checkpoint: the manifest first, so that it is not complete from then on."""
        folder = self.of_step(step)
        if not folder.is_dir():
            return
        files.remove(folder / NAME)
        for path in list(folder.iterdir()):
            files.remove(path)
        files.remove(folder)

    def tidy(self, keep: int) -> None:
        """Leave the newest ``keep`` complete checkpoints, and nothing that was broken off before the newest of them.

        What belongs to no manifest is left alone if it is newer: it may be a checkpoint that is being written.
        """
        complete = self.steps
        if not complete:
            return
        kept = set(complete[-keep:])
        for step in self._all_steps():
            if step not in kept and step <= complete[-1]:
                self.remove(step)
        for step in kept:
            self._remove_unnamed(step)

    def remove_broken_off(self) -> None:
        """Remove what belongs to no manifest. Only for who has the lock: nobody else is writing."""
        for step in self._all_steps():
            if (self.of_step(step) / NAME).exists():
                self._remove_unnamed(step)
            else:
                self.remove(step)

    def _remove_unnamed(self, step: int) -> None:
        """Remove files in a complete checkpoint that its manifest does not name: an attempt that was broken off."""
        folder = self.of_step(step)
        with contextlib.suppress(CheckpointError, OSError):
            named = {NAME, *(shard.file for shard in self.manifest(step).shards)}
            for path in list(folder.iterdir()):
                if path.name not in named:
                    files.remove(path)

    def lock(self, wait_s: float = LOCK_WAIT_S) -> int:
        """Take the folder for one run; returns a descriptor to close. The system frees it when the process ends.

        Raises
        ------
        UsageError
            Another process writes here.
        """
        files.make_folder(self.path)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    return descriptor  # a file system without locks: as good as it gets
                if time.monotonic() > deadline:
                    owner = os.pread(descriptor, 100, 0).decode(errors="replace").strip() or "unknown"
                    os.close(descriptor)
                    raise UsageError(
                        f"another run writes checkpoints into {self.path} ({owner}): two runs in one folder would "
                        "mix. Choose another folder, or wait until that run has ended."
                    ) from None
                time.sleep(0.05)
                continue
            with contextlib.suppress(OSError):  # a full disk: the lock holds without its text
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            return descriptor
