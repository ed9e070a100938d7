"""A traced rank that tells what it has recorded while its cell still runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns

from labkit.comm.interruptible.monitor import Monitor
from labkit.comm.interruptible.recorder import Recorder
from labkit.trace.events import RankRecord
from labkit.trace.growing import RecordPart

PUBLISH_EVERY_S = 0.3
MAX_CALLS = 20_000  # of all ranks together that are shown while the cell runs
KEY = "live"  # parts are published under "live 0", "live 1", ...: no part replaces another


class LiveRecord:
    """Publishes, a few times a second and from a thread of its own, what a recorder has gathered since.

    The recorder knows nothing of it: its lists only grow, and a slice of a list is taken at once. So recording
    costs what it always does, and the record at the end is the same.

    Parameters
    ----------
    recorder : Recorder
    monitor : Monitor
        Knows the call in which the rank has waited for long.
    publish : callable
        Is given ``{"live <number>": RecordPart}``.
    max_calls : int
        Only so many calls are published; what comes after is counted.
    """

    def __init__(self, recorder: Recorder, monitor: Monitor, publish: Callable[[dict], None], *, max_calls: int):
        self.recorder, self.monitor, self.publish, self.max_calls = recorder, monitor, publish, max_calls
        self.num_parts = self.num_spans = self.num_endpoints = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="labkit-live")

    def __enter__(self) -> LiveRecord:
        self._thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(PUBLISH_EVERY_S):
            part = self.next_part()
            try:
                self.publish({f"{KEY} {self.num_parts}": part})
            except Exception:  # the picture stops growing, and the cell goes on
                return
            self.num_parts += 1

    def next_part(self) -> RecordPart:
        """What has been recorded since the last part."""
        recorder = self.recorder
        # The ends first: each was noted after the call it names, so that call is among those taken next.
        num_endpoints = len(recorder.endpoints)
        num_spans = min(len(recorder.spans), self.max_calls)
        ends = recorder.endpoints[self.num_endpoints : num_endpoints]
        part = RecordPart(
            RankRecord(
                rank=recorder.rank,
                spans=tuple(recorder.spans[self.num_spans : num_spans]),
                endpoints=tuple(end for end in ends if end[-1] < self.max_calls),
                marks=(),
                clock_offset_ns=recorder.clock_offset_ns,
                start_ns=recorder.start_ns,
                end_ns=perf_counter_ns(),
                num_dropped=len(recorder.spans) - num_spans + recorder.num_dropped,
            ),
            self._open_call(),
        )
        self.num_spans, self.num_endpoints = num_spans, num_endpoints
        return part

    def _open_call(self) -> tuple | None:
        """The call in which the rank waits, in the form of a recorded call."""
        wait = self.monitor.long_wait
        if wait is None:
            return None
        report, start_ns = wait
        name = report.call.split("(")[0]
        kind, peer = "wait", None
        if len(report.operations) == 1 and not name.lower().startswith("wait"):
            operation = report.operations[0]
            kind = "sendrecv" if name.lower().startswith("sendrecv") else operation.kind
            if operation.kind in ("send", "recv", "probe") and len(operation.peers) == 1:
                peer = operation.peers[0]
        return name, kind, start_ns, perf_counter_ns(), peer, None, 0, "comm", None, report.line
