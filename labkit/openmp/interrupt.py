"""The Stop button reaches threads that compute: a flag in the shared block of every region.

While compiled code runs, Python cannot act on a signal. Its C handler can: it writes a byte into a socket, and a thread
that sleeps there raises the flags. Threads look at them between chunks and while they wait.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import weakref

import numpy as np

from labkit.openmp.shared import INTERRUPTED, STOP

_blocks: list[weakref.ref] = []  # of all teams; one that no region uses is reset before the next one
_installed: socket.socket | None = None
_has_settled = threading.Event()
SETTLE = b"\0"  # no signal has this number
MOST_S = 5.0  # that a thread should need to come to its turn


def watch(block: np.ndarray) -> None:
    """Raise the flag of this block, too, when the button is pressed. The main thread begins to watch."""
    global _installed
    _blocks.append(weakref.ref(block, _blocks.remove))
    if _installed is not None or threading.current_thread() is not threading.main_thread():
        return
    try:
        listener, signaller = socket.socketpair()
    except OSError:  # where sockets are forbidden, nothing is watched
        return
    signaller.setblocking(False)
    before = signal.set_wakeup_fd(signaller.fileno(), warn_on_full_buffer=False)
    _installed = signaller
    threading.Thread(target=_listen, args=(listener, before), name="labkit stop button", daemon=True).start()


def _listen(listener: socket.socket, before: int) -> None:
    while numbers := listener.recv(64):
        if signal.SIGINT in numbers:
            for block in [reference() for reference in _blocks]:
                if block is not None:
                    block[STOP] = INTERRUPTED
        if SETTLE in numbers:
            _has_settled.set()
        numbers = numbers.replace(SETTLE, b"")
        if before >= 0 and numbers:  # somebody else waits for these, too
            try:
                os.write(before, numbers)
            except OSError:
                before = -1


def settle() -> None:
    """Return when the flags are raised for all signals until now.

    The main thread can be told of a signal before the thread that raises the flags has its turn. A region that begins
    after a KeyboardInterrupt would be stopped by it once more.
    """
    if _installed is not None and threading.current_thread() is threading.main_thread():
        _has_settled.clear()
        try:
            _installed.send(SETTLE)
        except OSError:  # full of signals: none of them is waited for
            return
        _has_settled.wait(MOST_S)


def _forget() -> None:
    """A forked child does not share the socket with its parent: its signals are not the parent's."""
    global _installed
    if _installed is not None:
        signal.set_wakeup_fd(-1)
        _installed = None


os.register_at_fork(after_in_child=_forget)
