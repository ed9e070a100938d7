"""One MPI world of a job: the order for it in the cluster's folder, and what the keeper writes there."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.cluster.death import DEATH_NOTES
from labkit.cluster.keeper import write_whole


class World:
    """World ``number`` of the cluster that has this folder; see :mod:`labkit.cluster.keeper` for the files."""

    def __init__(self, folder: Path, number: int):
        self.folder = folder
        self.number = number

    @classmethod
    def last(cls, folder: Path) -> World | None:
        """The one that was ordered last; None if none was."""
        number = len(list(folder.glob("world-*.json")))
        return cls(folder, number) if number else None

    @property
    def deaths(self) -> Path:
        """The folder of the notes of its ranks."""
        return self.folder / f"deaths-{self.number}"

    @property
    def num_ranks(self) -> int:
        return json.loads(self._file("json").read_text())["num_ranks"]

    @property
    def has_ended(self) -> bool:
        return self._file("ended").exists()

    @property
    def job_has_ended(self) -> bool:
        """Whether the keeper has gone, and with it all worlds."""
        return (self.folder / "job-ended").exists()

    def why_job_ended(self) -> str:
        """The keeper's last words."""
        try:
            return (self.folder / "job-ended").read_text().strip()
        except OSError:
            return "its folder is gone"

    def order(self, command: Sequence[str], num_ranks: int) -> None:
        """Ask the keeper to start it."""
        self.deaths.mkdir()
        order = {"command": list(command), "environment": {DEATH_NOTES: str(self.deaths)}, "num_ranks": num_ranks}
        write_whole(self._file("json"), json.dumps(order))

    def order_end(self) -> None:
        """Ask the keeper to end it."""
        with contextlib.suppress(OSError):
            self._file("kill").touch()

    def wait_for_end(self, patience_s: float) -> bool:
        """Whether it, or the whole job, has ended within some seconds."""
        deadline = time.monotonic() + patience_s
        while not (self.has_ended or self.job_has_ended):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def printed(self) -> str:
        """What its launcher has printed, or the job's script if it has printed nothing."""
        for path in (self._file("log"), self.folder / "job.log"):
            with contextlib.suppress(OSError):
                if text := path.read_text(errors="replace").strip():
                    return text
        return ""

    def _file(self, ending: str) -> Path:
        return self.folder / f"world-{self.number}.{ending}"
