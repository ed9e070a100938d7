"""The process in the sandbox that starts ranks, as who starts it sees it.

Its start takes longer than anything else, most of it imports: so this module imports little, and what it needs to talk
to that process only when it has been started.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.grading.confinement.sandbox import Sandbox, command, find_sandbox

START_LIMIT_S = 60.0
PACKAGE = Path(__file__).parents[2]
HIDDEN = ("mpi", "openmp/kernels")  # where the course's own solutions are


def hidden_folders() -> list[Path]:
    """What an answer may not read: solutions in the package, and the exercises."""
    return [PACKAGE / name for name in HIDDEN if (PACKAGE / name).exists()] + [PACKAGE.parent / "exercises"]


class Zygote:
    """The process in the sandbox that forks ranks; one for any number of answers.

    Use it as a context manager; everything it has started ends with it.

    Parameters
    ----------
    sandbox : Sandbox, optional
    keeps_real_ranks : bool
        Also keep real MPI ranks from answer to answer, see :func:`labkit.grading.remote.real.run_on_real_ranks`.
    """

    def __init__(self, sandbox: Sandbox | None = None, *, keeps_real_ranks: bool = False):
        self.sandbox = sandbox or find_sandbox()
        self.keeps_real_ranks, self._real_ranks = keeps_real_ranks, None
        self.folder = tempfile.TemporaryDirectory(prefix="labkit-answer-", ignore_cleanup_errors=True)
        ours, theirs = socket.socketpair()
        self.fds, their_fds = socket.socketpair()  # sockets of ranks travel here
        folders = json.dumps([[str(PACKAGE)], [str(path) for path in hidden_folders()]])
        numbers = [theirs.fileno(), their_fds.fileno()]
        argv = [sys.executable, "-P", "-m", "labkit.grading.remote.zygote", *map(str, numbers), folders]
        scratch = Path(self.folder.name)
        self.process = subprocess.Popen(
            command(argv, scratch=scratch, readable=[PACKAGE], hidden=hidden_folders(), sandbox=self.sandbox),
            cwd=scratch, pass_fds=numbers, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True,
        )
        theirs.close()
        their_fds.close()
        from labkit.grading.remote.wire import Link

        self.link = Link(ours)
        self.numbers = itertools.count(1)  # of the ranks that it starts

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End it and all its ranks."""
        self.keep_real_ranks(None)
        self.link.close()
        self.fds.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stderr.close()
        self.folder.cleanup()

    def take_real_ranks(self, cases, memory_bytes: int):
        """The real ranks that were kept, if they suit these cases; None if there are none."""
        kept, self._real_ranks = self._real_ranks, None
        if kept is None or (kept.suits(cases) and kept.memory_bytes == memory_bytes):
            return kept
        kept.close()
        return None

    def keep_real_ranks(self, ranks) -> None:
        """Keep real ranks for the next answer, instead of those that are kept."""
        if self._real_ranks is not None:
            self._real_ranks.close()
        self._real_ranks = ranks

    def ask(self, order: list, *, fds: list[int] = ()) -> list:
        """An order and its reply, if there is one.

        Raises
        ------
        NotAvailableError
            The process is not there any more.
        """
        from labkit.grading.remote.wire import Closed, Late

        self.link.set_deadline(START_LIMIT_S)
        try:
            self.link.send(order)
            if fds:
                socket.send_fds(self.fds, [b"f"], fds)
            if order[0] in ("ranks", "end"):
                return []
            return self.link.receive()[0]
        except (Closed, Late, OSError):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            words = self.process.stderr.read()[-2000:].decode(errors="replace").strip()
            raise NotAvailableError(
                f"the process that runs answers does not answer ({self.sandbox.text}). Run labkit doctor."
                + (f" It said: {words}" if words else "")
            ) from None
