"""The process that sends the requests: takes a job from its owner, reports progress, gives back a record.

Alone in a process, so that neither the notebook's GIL nor its garbage collection delays a request. It ends when its
owner does: by Linux's signal for that, and because its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import pickle
import signal
import struct
import sys
import time

PR_SET_PDEATHSIG = 1
LEAD_S = 0.02  # from the start of the run's clock to its second 0
PROGRESS_EVERY_S = 0.25
MOST_AT_ONCE = 64  # due requests that are sent before answers are looked at again
REST_S = 0.1  # of a client of a closed loop whose request got no answer
STOP = b"s"


def main(owner: int) -> None:
    """Serve one job."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != owner:  # it ended before the line above
        return
    job = pickle.loads(_read_exactly(struct.unpack("<Q", _read_exactly(8))[0]))
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    record = asyncio.run(_Run(job).run())
    _tell("record", record)


class _Run:
    """A run of a job, a dict: see :func:`labkit.serving.load.generator.run_load` and ``run_closed``."""

    def __init__(self, job: dict):
        self.job = job
        self.times = job["times"]  # None in a closed loop
        self.num_due = 0  # of times
        self.is_stopped = False

    async def run(self) -> dict:
        from labkit.serving.load.client import Client
        from labkit.serving.load.timer import Timer

        job = self.job
        self.loop, self.over = asyncio.get_running_loop(), asyncio.Event()
        self.client = Client(
            self.loop, job["address"], job["port"], job["requests"], job["timeout_s"], job["num_connections"],
            self.finished,
        )
        self.loop.add_reader(0, self.owner_spoke)
        self.expiry, self.sending = Timer(self.loop, self.expire), Timer(self.loop, self.send_due)
        self.clock_starts = time.monotonic() + LEAD_S
        cpu_before = time.process_time()
        self.closes = self.clock_starts + (job["duration_s"] or 0)
        if self.times is None:
            for _ in range(job["num_clients"]):
                self.start_next()
        else:
            self.send_due()
        self.arm_expiry()
        self.end_if_done()  # nothing was due
        self.progress()
        await self.over.wait()
        elapsed = max(0.0, time.monotonic() - self.clock_starts)
        cpu = time.process_time() - cpu_before
        self.loop.remove_reader(0)
        self.client.close()
        self.expiry.close()
        self.sending.close()
        return self.record(elapsed, cpu)

    def send_due(self) -> None:
        """Open loop: start what is due, whatever became of earlier requests; then sleep until the next is due."""
        if self.is_stopped:
            return
        times, client, first = self.times, self.client, self.num_due
        while self.num_due < len(times):
            due = self.clock_starts + times[self.num_due]
            if due > time.monotonic() or self.num_due - first == MOST_AT_ONCE:
                self.sending.set(due)
                break
            self.num_due += 1
            client.start(due)
        if first == 0 and self.num_due:
            self.arm_expiry()

    def start_next(self) -> None:
        """Closed loop: a client's next request, unless the run is over."""
        now = time.monotonic()
        if not self.is_stopped and now < self.closes:
            self.client.start(now)
        self.end_if_done()

    def finished(self, request: int) -> None:
        from labkit.serving.load.outcome import Outcome

        if self.times is None and self.client.outcome[request] == Outcome.ANSWERED:
            self.start_next()
        elif self.times is None:
            self.loop.call_later(REST_S, self.start_next)  # a server that is gone is not asked in a tight loop
        self.end_if_done()

    def end_if_done(self) -> None:
        is_sent = time.monotonic() >= self.closes if self.times is None else self.num_due == len(self.times)
        if is_sent and not self.client.num_under_way:
            self.over.set()

    def expire(self) -> None:
        self.client.expire()
        self.arm_expiry()

    def arm_expiry(self) -> None:
        """Look again when the next request's time is over; no request can have an earlier one."""
        self.expiry.set(self.client.expire() or time.monotonic() + min(self.job["timeout_s"], 1.0))

    def owner_spoke(self) -> None:
        """Stop, or the end: the owner is gone."""
        if os.read(0, 1) != STOP:
            os._exit(1)
        self.is_stopped = True
        self.over.set()

    def progress(self) -> None:
        client = self.client
        _tell("progress", {
            "elapsed_s": max(0.0, time.monotonic() - self.clock_starts), "num_started": len(client.scheduled),
            "num_under_way": client.num_under_way, "num_ok": client.num_ok,
            "num_failed": len(client.scheduled) - client.num_under_way - client.num_ok,
        })
        if not self.over.is_set():
            self.loop.call_later(PROGRESS_EVERY_S, self.progress)

    def record(self, elapsed: float, cpu: float) -> dict:
        import numpy as np

        client, zero = self.client, self.clock_starts
        names = ("scheduled", "started", "sent", "done")
        seconds = {f"{name}_s": np.array(getattr(client, name), np.float64) - zero for name in names}
        return seconds | {
            "status": np.array(client.status, np.int16), "outcome": np.array(client.outcome, np.uint8),
            "elapsed_s": elapsed, "cpu_s": cpu, "num_connections": client.num_opened,
            "most_under_way": client.most_under_way, "num_waited": client.num_waited,
            "first_answers": client.first_answers, "is_stopped": self.is_stopped,
        }


def _read_exactly(num_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < num_bytes:
        part = os.read(0, min(1 << 20, num_bytes - len(parts)))
        if not part:
            os._exit(1)
        parts += part
    return bytes(parts)


def _tell(kind: str, content: dict) -> None:
    with contextlib.suppress(BrokenPipeError):
        pickle.dump((kind, content), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
