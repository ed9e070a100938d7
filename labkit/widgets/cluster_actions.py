"""Starting, connecting and stopping for the panel: in a thread; a notebook's engines change between two cells."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable

from labkit.cluster import manage, registry
from labkit.cluster.activity import is_busy
from labkit.cluster.engines import Engines, LocalEngines
from labkit.cluster.options import ClusterOptions
from labkit.cluster.schedulers import find_scheduler
from labkit.errors import LabkitError, UsageError
from labkit.widgets.cluster_rows import error_sentence, own_name

LOOK_EVERY_S = 0.1
BUSY = "A cell runs on these ranks. Stop the cell first (the ■ of the notebook), then try again."


class Cancelled(LabkitError):
    """Somebody pressed Cancel."""


class ClusterActions:
    """One thing at a time, in a thread.

    Parameters
    ----------
    mpi : MPIMagics
        Whose engines change.
    shell : InteractiveShell
    say : callable
        Told what is happening, and True for something that went wrong.
    changed : callable
        Called when something begins and when it has ended.

    Attributes
    ----------
    doing : str
        What goes on, in a word: ``"start"``, ``"connect"``, ``"stop"``; "" for nothing.
    """

    def __init__(self, mpi, shell, say: Callable[[str, bool], None], changed: Callable[[], None]):
        self.mpi, self.shell, self.say, self.changed = mpi, shell, say, changed
        self.doing = ""
        self._name = ""
        self._lock, self._cancel = threading.Lock(), threading.Event()
        self._thread: threading.Thread | None = None

    # -- what can be done -----------------------------------------------------------------------

    def start(self, options: ClusterOptions) -> None:
        """Start a cluster; cells run there when its ranks are up."""
        if options.name == options.kind:  # nobody has named it
            options = dataclasses.replace(options, name=registry.free_name(options.kind))

        def do() -> None:
            self._name = options.name
            self._let_go()
            self._take(manage.start(options, self._progress))

        self._begin("start", do)

    def connect(self, name: str) -> None:
        """Work with a cluster that is kept."""

        def do() -> None:
            registry.load(name)  # before the present ranks are let go
            self._let_go()
            self._take(manage.connect(name, self._progress))

        self._begin("connect", do)

    def stop(self, name: str) -> None:
        """End a cluster; ``""`` stands for the ranks of this notebook that have no name."""

        def do() -> None:
            if name and name != own_name(self.mpi.engines):
                self.say(manage.stop(name), False)
                return
            engines = self._replace(LocalEngines())
            self.say(f"Ending the ranks on {engines.where}", False)
            engines.stop()
            self.say(f"The ranks on {engines.where} have been ended. Cells run on this machine now.", False)

        self._begin("stop", do)

    def cancel(self) -> None:
        """Give up what goes on; a job that waits in a queue is cancelled."""
        self._cancel.set()
        if self.doing == "start":
            threading.Thread(target=self._cancel_job, args=(self._name,), daemon=True, name="labkit cancel").start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing goes on; whether that is so."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
        return not self.doing

    # -- parts ----------------------------------------------------------------------------------

    def _begin(self, word: str, do: Callable[[], None]) -> None:
        with self._lock:
            if self.doing:
                raise UsageError(f"Something else goes on ({self.doing}): wait until it has ended.")
            self.doing = word
            self._cancel.clear()
        self.changed()
        self._thread = threading.Thread(target=self._run, args=(word, do), daemon=True, name=f"labkit {word}")
        self._thread.start()

    def _run(self, word: str, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as error:  # a thread has nobody else to tell
            logging.getLogger(__name__).debug("%s", word, exc_info=True)
            if self._cancel.is_set():
                left = " No ranks have been started, and there is no job any more." if word == "start" else ""
                self.say(f"Cancelled: {word}.{left}", False)
            else:
                self.say(error_sentence(error), True)
        finally:
            self.doing = self._name = ""
            self.changed()

    def _progress(self, text: str) -> None:
        if self._cancel.is_set():
            raise Cancelled("Cancelled.")
        self.say(text, False)

    def _cancel_job(self, name: str) -> None:
        with contextlib.suppress(LabkitError):
            record = registry.load(name)
            if record.job_id:
                find_scheduler(record.kind).cancel(record.job_id)

    def _let_go(self) -> None:
        """End or leave the ranks that the notebook has at present: their job may be all that a user is allowed."""
        engines = self._replace(LocalEngines())
        if getattr(engines, "kept", False):
            engines.leave()
        elif engines.ranks or own_name(engines):
            self.say(f"Ending the ranks on {engines.where}", False)
            engines.stop()

    def _replace(self, engines: Engines) -> Engines:
        """Give the notebook other engines, between two cells; return those that it had."""
        had: list[Engines] = []

        def change() -> None:
            if is_busy(self.mpi.engines):
                raise UsageError(BUSY)
            had.append(self.mpi.engines)
            self.mpi.use(engines)

        self._between_cells(change)
        return had[0]

    def _take(self, engines: Engines) -> None:
        """Let the notebook use engines that have been started."""
        self._name = ""
        try:
            others = self._replace(engines)
        except BaseException:
            engines.leave() if getattr(engines, "kept", False) else engines.stop()
            raise
        if others.ranks:  # a cell has run meanwhile
            others.leave() if getattr(others, "kept", False) else others.stop()
        count = f"{engines.num_ranks} rank{'s' if engines.num_ranks != 1 else ''}" if engines.ranks else "Ranks"
        self.say(f"{count} on {engines.where}: the next %%mpi cells run there.", False)

    def _between_cells(self, function: Callable[[], None]) -> None:
        """Call ``function()`` in the kernel's own thread when no cell runs there; wait for it."""
        kernel = getattr(self.shell, "kernel", None)
        if kernel is None:
            function()
            return
        done, errors, lock = threading.Event(), [], threading.Lock()
        given_up = False

        def call() -> None:
            with lock:
                if given_up:
                    return
                try:
                    function()
                except Exception as error:
                    errors.append(error)
                done.set()

        kernel.io_loop.add_callback(call)
        waited = 0
        while not done.wait(LOOK_EVERY_S):
            waited += 1
            if waited == 10:
                self.say("Waiting until the cell that runs has ended.", False)
            if self._cancel.is_set():
                with lock:
                    given_up = not done.is_set()
                if given_up:
                    raise Cancelled("Cancelled.")
        if errors:
            raise errors[0]
