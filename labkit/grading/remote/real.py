"""Running an answer on real MPI ranks."""

from __future__ import annotations

import contextlib
import os
import selectors
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
from labkit.grading.outcomes import Status
from labkit.grading.remote.lifelines import Lifelines
from labkit.grading.remote.raised import AnswerRaised, raised_from
from labkit.grading.remote.sandboxed import PACKAGE, START_LIMIT_S, hidden_folders
from labkit.grading.remote.wire import Closed, Late, Link, WireError, decode, encode
from labkit.hardware.messages import find_mpiexec

ANSWERS_A_WORLD = 25  # then fresh ranks take over


class RealRanks:
    """MPI ranks for cases with ``sizes`` ranks each. Use it as a context manager, or :meth:`close` it.

    Raises
    ------
    NotAvailableError
        MPI does not start here.
    """

    def __init__(self, sizes: list[int], sandbox: Sandbox, *, memory_bytes: int, cpu_seconds: float):
        mpiexec, number = find_mpiexec(), max(sizes)
        self.sizes, self.memory_bytes, self.num_answers = sizes, memory_bytes, 0
        self.folder = tempfile.TemporaryDirectory(prefix="labkit-real-", ignore_cleanup_errors=True)
        path, end_path = (str(Path(self.folder.name) / name) for name in ("judge", "end"))
        listening, ends = _listening(path, number), _listening(end_path, number)
        argv = [mpiexec, "-n", str(number), sys.executable, "-P", "-m", "labkit.grading.remote.watched_rank"]
        argv += [path, end_path]
        scratch = Path(self.folder.name)
        self.process = subprocess.Popen(
            command(argv, scratch=scratch, readable=[PACKAGE], hidden=hidden_folders(), sandbox=sandbox), cwd=scratch,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )
        self.links: list[Link] = [None] * number
        self.lifelines = Lifelines()
        options = {
            "readable": [str(PACKAGE)], "hidden": [str(folder) for folder in hidden_folders()],
            "memory_bytes": memory_bytes, "cpu_seconds": max(1, int(cpu_seconds + 5)),
        }
        try:
            self._accept(listening, number)
            self.lifelines.accept(ends, number, time.monotonic() + START_LIMIT_S)
            for link in self.links:
                link.send(["world", sizes, options])
            self._see_confined()
        except (Closed, Late, WireError, TimeoutError):
            self.close()
            words = f"of {number} real ranks one has ended before it was confined"
            raise NotAvailableError(f"{words}. Run labkit doctor.") from None
        except BaseException:
            self.close()
            raise
        finally:
            listening.close()
            ends.close()

    def _see_confined(self) -> None:
        """Every rank says that it is confined, before anything of the answer is executed in it."""
        for link in self.links:
            if link.receive()[0] != ["confined"]:
                raise WireError("a real rank that does not say that it is confined")

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
                    words = f"mpiexec -n {number} did not start ranks: {words or 'no message'}"
                    raise NotAvailableError(words) from None
                continue
            sock.settimeout(None)
            link = Link(sock)
            link.set_deadline(max(0.1, deadline - time.monotonic()))
            (_, rank, size), _ = link.receive()  # nothing of the answer runs yet
            if size != number or not 0 <= rank < number or self.links[rank] is not None:
                raise NotAvailableError(
                    f"mpiexec -n {number} started a world of {size} ranks: labkit doctor looks for the cause."
                )
            self.links[rank] = link

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
        self.lifelines.close()
        self._end()
        self.process.stderr.close()
        self.folder.cleanup()

    def suits(self, cases) -> bool:
        """Whether they can run one more answer on these cases."""
        return self.num_answers < ANSWERS_A_WORLD and all(case.num_ranks in self.sizes for case in cases)

    def load(self, source: str, function: str) -> None:
        """From now on, this answer is called."""
        self.num_answers += 1
        for rank, link in enumerate(self.links):
            link.set_deadline(START_LIMIT_S)
            with self._problem_of(rank):
                link.send(["answer", source, function])

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
            with self._problem_of(rank):
                link.send(["run", rank, len(links), encode(list(arguments[rank]), blocks), False], blocks)
        return self._results(links, time.monotonic() + seconds)

    def _results(self, links: list[Link], deadline: float) -> list:
        """What the ranks say, as it comes: the first problem is the cause of those that follow."""
        results: list = [None] * len(links)
        with selectors.DefaultSelector() as selector:
            for rank, link in enumerate(links):
                selector.register(link.sock, selectors.EVENT_READ, rank)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise RankProblem(min(key.data for key in selector.get_map().values())) from Late()
                for key, _ in ready:
                    selector.unregister(key.fileobj)
                    with self._problem_of(key.data):
                        results[key.data] = _result_of(links[key.data])
        return results

    @contextlib.contextmanager
    def _problem_of(self, rank: int):
        """What goes wrong is a problem of this rank; where it has ended, of the one that ended first."""
        try:
            yield
        except Closed as error:
            raise RankProblem(self.lifelines.first_to_end(rank)) from error
        except (AnswerRaised, Late, WireError) as error:
            raise RankProblem(rank) from error

    def exit_statuses(self) -> list[int | None]:
        """How each rank ended, as ``subprocess`` says it; None if it runs, or that is not known."""
        found = {rank: status for _, rank, status in self.lifelines.ends()}
        return [found.get(rank) for rank in range(len(self.links))]


def _result_of(link: Link):
    match link.receive():
        case ["result", value, _], got:
            return decode(value, got)
        case ["raised", *words], _:
            raise raised_from(words)
        case _:
            raise WireError("no result")


def _listening(path: str, number: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.listen(number)
    return sock


class RankProblem(Exception):
    """What went wrong on a rank is the ``__cause__``."""

    def __init__(self, rank: int):
        super().__init__(rank)
        self.rank = rank


def run_on_real_ranks(exercise, source, cases, zygote, judge_results: Callable, of_failure: Callable) -> Iterator:
    """(case, outcome) for each case, until one fails; (None, reason) if there are no real ranks here.

    Where the zygote keeps real ranks, they run one answer after the other, as long as all pass. What an answer may
    have left behind in them can only harm the next one; so an answer that fails on used ranks is judged on fresh ones.
    """
    used = zygote.take_real_ranks(cases, exercise.memory_bytes)
    if used is not None:
        outcomes = list(_on(used, exercise, source, cases, judge_results, of_failure))
        if _all_pass(outcomes, cases):
            zygote.keep_real_ranks(used)
            yield from outcomes
            return
        used.close()
    sizes = {case.num_ranks for case in cases} | ({1, 2, 3, 4} if zygote.keeps_real_ranks else set())
    num_answers = ANSWERS_A_WORLD if zygote.keeps_real_ranks else 1
    try:
        ranks = RealRanks(
            sorted(sizes), zygote.sandbox, memory_bytes=exercise.memory_bytes,
            cpu_seconds=exercise.time_limit_s * len(cases) * num_answers,
        )
    except NotAvailableError as error:
        yield None, str(error)
        return
    try:
        outcomes = []
        for found in _on(ranks, exercise, source, cases, judge_results, of_failure):
            outcomes.append(found)
            yield found
        if zygote.keeps_real_ranks and _all_pass(outcomes, cases):
            zygote.keep_real_ranks(ranks)
            ranks = None
    finally:
        if ranks is not None:
            ranks.close()


def _on(ranks: RealRanks, exercise, source, cases, judge_results, of_failure) -> Iterator:
    case = cases[0]
    try:
        ranks.load(source, exercise.function)
        for case in cases:
            yield case, judge_results(case, ranks.run(case.arguments, exercise.time_limit_s))
    except RankProblem as problem:
        yield case, of_failure(exercise, case, problem.__cause__, ranks, problem.rank)


def _all_pass(outcomes: list, cases: list) -> bool:
    return len(outcomes) == len(cases) and all(outcome.status is Status.PASSED for _, outcome in outcomes)
