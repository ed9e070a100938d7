"""Whether somebody looks: an invisible part of a widget that reports as long as a page shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import anywidget
import traitlets

BEAT_S = 5.0
LEASE_S = 20.0  # without a beat nobody looks any more

SCRIPT = """
export default {
  render({ model, el }) {
    const beat = () => {
      if (!el.isConnected || document.visibilityState !== "visible") return;
      try { model.send({ do: "seen" }); } catch { clearInterval(timer); }  // the kernel is gone
    };
    const timer = setInterval(beat, model.get("beat_ms"));
    setTimeout(beat, 0);
    return () => clearInterval(timer);
  },
};
"""


class Pulse(anywidget.AnyWidget):
    """Calls ``seen()`` every few seconds while it is on a visible page."""

    _esm = SCRIPT
    beat_ms = traitlets.Int(round(1000 * BEAT_S)).tag(sync=True)

    def __init__(self, seen: Callable[[], None]):
        super().__init__(layout={"height": "0px", "margin": "0px"})
        self.seen = seen
        self.on_msg(self._on_message)

    def _on_message(self, widget, content, buffers) -> None:
        if isinstance(content, dict) and content.get("do") == "seen":
            self.seen()


class Ticker:
    """Calls ``tick()`` again and again in a thread of its own, as long as somebody wants it.

    Parameters
    ----------
    tick : callable
        Told whether somebody asked for news at once (True), or time has passed (False). Must not raise.
    needed : callable
        Whether to go on although no beat has come, because the kernel is too busy to hear one.
    every_s, lease_s : float
        Between two ticks; from the last :meth:`beat` to the end of the thread.
    """

    def __init__(
        self, tick: Callable[[bool], None], needed: Callable[[], bool], *, every_s: float = 1.0,
        lease_s: float = LEASE_S,
    ):
        self.tick, self.needed, self.every_s, self.lease_s = tick, needed, every_s, lease_s
        self._lock, self._wake, self._until = threading.Lock(), threading.Event(), 0.0
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def runs(self) -> bool:
        return self._thread is not None

    def beat(self, now: bool = False) -> None:
        """Somebody looks; with ``now`` they want news at once."""
        with self._lock:
            if self._closed:
                return
            self._until = time.monotonic() + self.lease_s
            if now or self._thread is None:
                self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True, name="labkit panel")
                self._thread.start()

    def close(self) -> None:
        """End the thread, and start none again."""
        with self._lock:
            self._closed = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def _run(self) -> None:
        while True:
            asked = self._wake.is_set()
            self._wake.clear()
            if not self._closed:
                self.tick(asked)
            with self._lock:
                if self._closed or (time.monotonic() > self._until and not self.needed()):
                    self._thread = None
                    return
            self._wake.wait(self.every_s)
