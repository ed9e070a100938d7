"""Running an answer on real MPI ranks."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.grading.confinement.sandbox import Sandbox, command
from labkit.grading.remote.ranks import PACKAGE, START_LIMIT_S, hidden_folders
from labkit.grading.remote.server import AnswerRaised
from labkit.grading.remote.wire import Closed, Late, Link, WireError, decode, encode
from labkit.hardware.messages import find_mpiexec


class RealRanks:
    """MPI ranks with the answer in them, for cases with ``sizes`` ranks each. Use it as a context manager.

    Raises
    ------
    NotAvailableError
        MPI does not start here.
    """

    def __init__(
        self, sizes: list[int], source: str, function: str, sandbox: Sandbox, *, memory_bytes: int, cpu_seconds: float
    ):
        mpiexec, number = find_mpiexec(), max(sizes)
        self.folder = tempfile.TemporaryDirectory(prefix="labkit-real-", ignore_cleanup_errors=True)
        path = str(Path(self.folder.name) / "judge")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen(number)
        argv = [mpiexec, "-n", str(number), sys.executable, "-P", "-m", "labkit.grading.remote.real_rank", path]
        self.process = subprocess.Popen(
            command(argv, scratch=Path(self.folder.name), readable=[PACKAGE], hidden=hidden_folders(), sandbox=sandbox),
            cwd=self.folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True,
        )
        self.links: list[Link] = [None] * number
        options = {
            "readable": [str(PACKAGE)], "hidden": [str(folder) for folder in hidden_folders()],
            "memory_bytes": memory_bytes, "cpu_seconds": max(1, int(cpu_seconds + 5)),
        }
        try:
            self._accept(listening, number)
            for link in self.links:
                link.send(["answer", source, function, sizes, options])
            for link in self.links:
                self._see_confined(link)
        except BaseException:
            self.close()
            raise
        finally:
            listening.close()

    def _accept(self, listening, number: int) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        listening.settimeout(0.2)
        while None in self.links:
            try:
                sock, _ = listening.accept()
            except TimeoutError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    words = self.process.stderr.read()[-1000:].decode(errors="replace").strip()
                    raise NotAvailableError(f"mpiexec -n {number} did not start ranks: {words or 'no message'}") from None
                continue
            sock.settimeout(None)
            link = Link(sock)
            link.set_deadline(max(0.1, deadline - time.monotonic()))
            (_, rank, size), _ = link.receive()
            if size != number or not 0 <= rank < number or self.links[rank] is not None:
                raise NotAvailableError(f"mpiexec -n {number} started a world of {size} ranks: labkit doctor looks for the cause.")
            self.links[rank] = link

    def _see_confined(self, link: Link) -> None:
        """A rank says that it is confined, before anything of the answer is executed in it."""
        try:
            message, _ = link.receive()
        except (Closed, Late, WireError):
            message = ["it ended"]
        if message != ["confined"]:
            raise NotAvailableError(f"a real rank could not be confined: {str(message[-1])[:500]}. Run labkit doctor.")

    def __enter__(self) -> RealRanks:
        return self

    def __exit__(self, *_):
        self.close()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """End the ranks."""
        for link in self.links:
            if link is not None:
                link.close()
        self._end()
        self.process.stderr.close()
        self.folder.cleanup()

    def run(self, arguments: tuple, seconds: float) -> list:
        """Call the answer on the first ``len(arguments)`` ranks at once; results by rank.

        Raises
        ------
        RankProblem
            With the rank and what happened.
        """
        links = self.links[: len(arguments)]
        for rank, link in enumerate(links):
            link.set_deadline(seconds)
            blocks: list = []
            with _problem_of(rank):
                link.send(["run", rank, len(links), encode(list(arguments[rank]), blocks)], blocks)
        results = []
        for rank, link in enumerate(links):
            with _problem_of(rank):
                message, got = link.receive()
                if message[0] == "raised":
                    raise AnswerRaised(str(message[1]), str(message[2])[:4000], str(message[3])[:20000], message[4])
                if message[0] != "result":
                    raise WireError(f"{message[0]!r} instead of a result")
                results.append(decode(message[1], got))
        return results


class RankProblem(Exception):
    """What went wrong on a rank is the ``__cause__``."""

    def __init__(self, rank: int):
        super().__init__(rank)
        self.rank = rank


@contextlib.contextmanager
def _problem_of(rank: int):
    try:
        yield
    except (AnswerRaised, Closed, Late, WireError) as error:
        raise RankProblem(rank) from error


def run_on_real_ranks(exercise, source, cases, sandbox, judge_results: Callable, of_failure: Callable) -> Iterator:
    """(case, outcome) for each case, until one fails."""
    try:
        ranks = RealRanks(
            sorted({case.num_ranks for case in cases}), source, exercise.function, sandbox, memory_bytes=exercise.memory_bytes,
            cpu_seconds=exercise.time_limit_s * len(cases),
        )
    except NotAvailableError as error:
        yield None, str(error)
        return
    with ranks:
        for case in cases:
            try:
                yield case, judge_results(case, ranks.run(case.arguments, exercise.time_limit_s))
            except RankProblem as problem:
                yield case, of_failure(exercise, case, problem.__cause__, None, problem.rank)
                return
