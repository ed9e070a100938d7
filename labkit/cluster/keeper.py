"""What a job of a batch system runs: it keeps the nodes, and starts one MPI world after the other on them.

A rank that dies takes its world with it, but not the job: waiting in the queue again for every
``os._exit`` of a student would be absurd. The notebook's side writes orders into the cluster's
folder, this process carries them out on the first node of the job:

- ``world-K.json``: ``{"command": [...], "deaths": FOLDER}``, start world K;
- ``world-K.kill``: end it;
- ``alive``: changes every few seconds as long as somebody may still give orders.

It writes ``world-K.log`` (what the launcher printed), ``world-K.ended`` (its exit code) and, last,
``job-ended`` (why). The standard library is enough, so that it starts at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 0.2
FORSAKEN_S = 60.0  # without a sign of life and without a world: the job ends
TERM_S = 5.0


class Keeper:
    """Carries out the orders in a folder until nobody gives any more.

    Parameters
    ----------
    folder : Path
        Of the cluster, on a file system that the notebook's machine shares.
    forsaken_s : float
        Seconds without a sign of life after which the job ends.
    """

    def __init__(self, folder: Path, forsaken_s: float = FORSAKEN_S):
        self.folder = folder
        self.forsaken_s = forsaken_s
        self.world = 0
        self.process: subprocess.Popen | None = None
        self.sign, self.seen = "", time.monotonic()

    def run(self) -> str:
        """Carry out orders; return why there are no more."""
        while True:
            if self.process is not None:
                self._look_after_world()
            elif (order := self._next_order()) is not None:
                self._start(order)
                continue
            elif self._is_forsaken():
                return f"no sign of life from the notebook for {self.forsaken_s:g} s"
            time.sleep(LOOK_EVERY_S)

    def _next_order(self) -> dict | None:
        path = self.folder / f"world-{self.world + 1}.json"
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # not there, or not there in whole
            if not self.folder.is_dir():
                raise SystemExit(0) from None  # the cluster was removed
            return None

    def _start(self, order: dict) -> None:
        self.world += 1
        with self._file("log").open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    order["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    start_new_session=True, env={**os.environ, **order.get("environment", {})},
                )
            except OSError as error:
                log.write(f"{error}\n".encode())
                self._note("ended", "127")

    def _look_after_world(self) -> None:
        code = self.process.poll()
        if code is None and self._file("kill").exists():
            self.end_world()
            code = self.process.returncode
        if code is not None:
            self.process = None
            self._note("ended", str(code))
            self.seen = time.monotonic()

    def end_world(self) -> None:
        """End the launcher and all that it has started on this node."""
        if self.process is None:
            return
        for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience_s)
                break
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                self.process.wait()
                break

    def _is_forsaken(self) -> bool:
        try:
            sign = (self.folder / "alive").read_text()
        except OSError:
            sign = self.sign
        if sign != self.sign:
            self.sign, self.seen = sign, time.monotonic()
        return time.monotonic() - self.seen > self.forsaken_s

    def _file(self, ending: str) -> Path:
        return self.folder / f"world-{self.world}.{ending}"

    def _note(self, ending: str, text: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # the cluster was removed: the next look for an order ends this
            write_whole(self._file(ending), text)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there in whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def main(argv: list[str]) -> int:
    """``python -m labkit.cluster.keeper FOLDER``."""
    folder = Path(argv[0])
    keeper = Keeper(folder)

    def told_to_end(number, frame):
        raise SystemExit(f"the job was told to end ({signal.Signals(number).name})")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, told_to_end)
    why = "it failed"
    try:
        why = keeper.run()
        return 0
    except SystemExit as end:
        why = str(end.code)
        return 0
    finally:
        keeper.end_world()
        with contextlib.suppress(FileNotFoundError):  # the cluster was removed
            write_whole(folder / "job-ended", why)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
