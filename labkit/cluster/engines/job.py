"""A job of a batch system, seen from the notebook: waiting for it, asking for its state, ending it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from labkit.cluster.schedulers import JobState, Scheduler
from labkit.errors import EnginesError, LabkitError

POLL_S = (0.3, 2.0, 5.0)  # how often the batch system is asked while a job waits: soon after its start, later, then
STATE_EVERY_S = 3.0  # while ranks run
UNKNOWN_S = 30.0  # how long a job may be unknown, or its batch system silent


class Job:
    """A job that has been submitted.

    Parameters
    ----------
    printed : callable
        What it has printed so far, in a line, for the errors of a job that ended early.

    Attributes
    ----------
    id : str
    state : JobState
        What the batch system last said of it.
    """

    def __init__(self, scheduler: Scheduler, job_id: str, printed: Callable[[], str] = lambda: ""):
        self.scheduler = scheduler
        self.printed = printed
        self.id = job_id
        self.state = JobState("unknown")
        self._asking: threading.Thread | None = None
        self._asked = 0.0

    @property
    def has_ended(self) -> bool:
        return self.state.word == "ended"

    @property
    def is_ending(self) -> bool:
        """Whether it has ended, but the batch system does not yet say why."""
        return self.has_ended and self.state.native.startswith("COMPLETING")

    def ask(self) -> JobState:
        """Ask for its state; a batch system that does not answer leaves the old one."""
        with contextlib.suppress(LabkitError):
            self.state = self.scheduler.state(self.id)
        return self.state

    def ask_now_and_then(self) -> None:
        """Ask, but not often, and without waiting for the answer."""
        now = time.monotonic()
        if now - self._asked < STATE_EVERY_S or (self._asking is not None and self._asking.is_alive()):
            return
        self._asked = now
        self._asking = threading.Thread(target=self.ask, daemon=True, name="labkit job state")
        self._asking.start()

    def wait_until_it_runs(self, say: Callable[[str], None]) -> None:
        """Wait in the queue; said on the way: its place there, and what it waits for.

        Raises
        ------
        EnginesError
            It has ended, or nobody knows it any more.
        """
        began = known = time.monotonic()
        while True:
            failure = None
            try:
                self.state = self.scheduler.state(self.id)
            except EnginesError as error:  # an overloaded scheduler answers again
                failure = error
            if failure is None and self.state.word in ("running", "starting"):
                return
            if self.has_ended:
                raise EnginesError(self.over_text("before its ranks could start"))
            if failure is None and self.state.word != "unknown":
                known = time.monotonic()
            elif time.monotonic() - known > UNKNOWN_S:  # not every site keeps an account of jobs that have ended
                raise failure or EnginesError(self.over_text("before its ranks could start"))
            say(self._waiting_text(failure))
            waited = time.monotonic() - began
            time.sleep(POLL_S[0] if waited < 10 else POLL_S[1] if waited < 120 else POLL_S[2])

    def _waiting_text(self, failure: Exception | None) -> str:
        if failure is not None:
            return f"job {self.id}; {self.scheduler.title} does not answer at the moment"
        position = self.scheduler.position(self.id)
        place = f"place {position.place} of {position.waiting} in {position.queue}" if position else ""
        job = f"job {self.id} is queued" if self.state.word == "queued" else f"job {self.id}"
        return "; ".join(filter(None, [job, place, self.state.reason]))

    def over_text(self, when: str = "") -> str:
        """That it has ended and why, in words; of one that ended early also what it printed."""
        text = f"{self.scheduler.title} job {self.id} has ended{f' {when}' if when else ''}"
        if self.state.reason:
            text += f": {self.state.reason}"
        printed = self.printed() if when else ""
        return f"{text.rstrip('.')}. It printed: {printed}" if printed else text

    def cancel(self) -> None:
        """End it; what the batch system says to that is of no use to anybody."""
        with contextlib.suppress(LabkitError):
            self.scheduler.cancel(self.id)
