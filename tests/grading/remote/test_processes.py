"""Processes of ranks: whatever happens, nothing is left over."""

import contextlib
import gc
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest

from labkit.errors import NotAvailableError
from labkit.grading.confinement.sandbox import find_sandbox
from labkit.grading.exercise import Exercise, mpi_case
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.remote.raised import AnswerRaised
from labkit.grading.remote.ranks import RankProcesses, Zygote
from labkit.grading.remote.real import RankProblem, RealRanks
from labkit.grading.remote.wire import Closed, Late

DEADLINE_S = 30
SANDBOXES = ("", "no-bubblewrap", "limits")
KNOWN: set[psutil.Process] = set()
RING = """
def answer(comm):
    print("x" * 10**6)
    return comm.sendrecv(comm.rank, (comm.rank + 1) % comm.size, source=(comm.rank - 1) % comm.size)
"""
HANGS = "def answer(comm):\n    while True:\n        pass\n"
LIMITS = {"memory_bytes": 1 << 30, "cpu_seconds": 100}


@pytest.fixture(params=SANDBOXES)
def sandboxed(request, monkeypatch):
    monkeypatch.setenv("LABKIT_SANDBOX", request.param)


@pytest.fixture(autouse=True)
def known():
    """Processes that other tests have started and keep."""
    KNOWN.clear()
    KNOWN.update(psutil.Process().children(recursive=True))


def descendants(pid: int) -> list[psutil.Process]:
    return [process for process in psutil.Process(pid).children(recursive=True) if process not in KNOWN]


def end_soon(processes: list[psutil.Process]) -> bool:
    """Whether all have ended, or do so before the deadline."""
    _, alive = psutil.wait_procs(processes, DEADLINE_S)
    return not [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def start_and_leave():
    """(Zygote, its processes) with two ranks that have run, and hang now."""
    zygote = Zygote()
    ranks = RankProcesses(zygote, 2, HANGS, "answer", **LIMITS)
    ranks.set_deadline(0.2)
    simulation, _ = ranks.simulate([(), ()])
    assert isinstance(simulation.error().__cause__, Late)
    return zygote, ranks, descendants(os.getpid())


@pytest.mark.usefixtures("sandboxed")
def test_close_ends_everything():
    zygote, ranks, processes = start_and_leave()
    folder = zygote.folder.name
    assert len(processes) >= 3 and os.path.isdir(folder)
    ranks.close()
    zygote.close()
    assert end_soon(processes) and not os.path.exists(folder)


def test_ranks_end_without_the_zygote_ending():
    with Zygote() as zygote:
        with RankProcesses(zygote, 1, RING, "answer", **LIMITS):
            few = len(descendants(os.getpid()))
        zygote.ask(["status", []])  # the order before it has been carried out
        assert len([p for p in descendants(os.getpid()) if p.status() != psutil.STATUS_ZOMBIE]) == few - 1


@pytest.mark.usefixtures("sandboxed")
def test_a_dead_zygote_is_reported_and_takes_its_ranks_along():
    zygote, ranks, processes = start_and_leave()
    inside = [p for p in processes if "labkit.grading.remote.zygote" in " ".join(p.cmdline())]
    with contextlib.ExitStack() as stack:
        stack.callback(zygote.close)
        zygote_process = next(p for p in inside if len(p.children()) >= 2)  # its children are the ranks
        zygote_process.kill()
        assert end_soon(processes)
        with pytest.raises(NotAvailableError, match="does not answer"):
            RankProcesses(zygote, 1, RING, "answer", **LIMITS)
        ranks.close()
    assert end_soon(processes)


JUDGE = """
    import sys
    from labkit.grading.confinement.sandbox import find_sandbox
    from labkit.grading.remote.ranks import RankProcesses, Zygote
    from labkit.grading.remote.real import RealRanks
    limits = {"memory_bytes": 1 << 30, "cpu_seconds": 200}
    source = "def answer(comm):\\n    while True:\\n        pass\\n"
    print("begin", flush=True)
    if sys.argv[1] == "real":
        with RealRanks([2], find_sandbox(), **limits) as ranks:
            ranks.load(source, "answer")
            print("started", flush=True)
            ranks.run([(), ()], 200)
    else:
        with Zygote() as zygote, RankProcesses(zygote, 2, source, "answer", **limits) as ranks:
            ranks.set_deadline(200)
            print("started", flush=True)
            ranks.simulate([(), ()])
"""


@contextlib.contextmanager
def judging(kind: str):
    """(A judge in a process of its own whose ranks hang, and all processes that it has started.)"""
    scratch = tempfile.TemporaryDirectory(prefix="labkit-test-")  # who is killed cannot clean up
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JUDGE), kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": scratch.name},
    )
    started = []
    try:
        assert process.stdout.readline() == "begin\n"
        assert process.stdout.readline() == "started\n", process.stderr.read()
        started = descendants(process.pid)
        assert len(started) >= 3
        yield process, started
    finally:
        process.kill()
        process.communicate()
        for one in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        scratch.cleanup()


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=pytest.mark.mpi)])
@pytest.mark.usefixtures("sandboxed")
def test_nothing_is_left_when_the_judge_is_killed(kind):
    with judging(kind) as (process, started):
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_S)
        assert end_soon(started), [p.cmdline() for p in started if p.is_running()]


@pytest.mark.parametrize("kind", ["simulated", pytest.param("real", marks=pytest.mark.mpi)])
@pytest.mark.usefixtures("sandboxed")
def test_an_interrupt_of_the_judge_is_no_verdict(kind):
    with judging(kind) as (process, started):
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=DEADLINE_S)
        assert process.returncode in (-signal.SIGINT, 130) and "KeyboardInterrupt" in words
        assert end_soon(started)


COUNTS = """
    import os

    calls = []

    def answer(comm):
        calls.append(comm.size)
        return os.getpid(), calls, comm.allgather(comm.rank)
"""


def test_the_number_of_ranks_changes():
    """Processes serve on, and what an answer has stored in its own names does not."""
    found = []
    with Zygote() as zygote, RankProcesses(zygote, 1, textwrap.dedent(COUNTS), "answer", **LIMITS) as ranks:
        for number in (1, 4, 2):
            ranks.use(number)
            ranks.start(4)
            ranks.set_deadline(DEADLINE_S)
            for _ in range(2):
                simulation, _ = ranks.simulate([()] * number)
                assert simulation.error() is None
            found.append([rank.result["return"] for rank in simulation.world.ranks])
        assert ranks.exit_statuses() == [None] * 4
        ranks.simulate([(), ()])[0].error()
        few = len(descendants(os.getpid()))
        ranks.close()
        zygote.ask(["status", []])
        assert len([p for p in descendants(os.getpid()) if p.status() != psutil.STATUS_ZOMBIE]) == few - 4
    for number, results in zip((1, 4, 2), found, strict=True):
        assert [(calls, ranks) for _, calls, ranks in results] == [([number] * 2, list(range(number)))] * number
    first, all_four, two = ([pid for pid, *_ in results] for results in found)
    assert len(set(all_four)) == 4 and first == all_four[:1] and two == all_four[:2]


def sum_exercise(number=2, **options):
    total = 3 * number * (number - 1) // 2
    cases = [mpi_case(number, "sum", lambda rank: (np.full(3, rank),), lambda rank: {"return": total})]
    return Exercise(
        title="sum", function="answer", points=1, cases=lambda: cases, hints=("a", "b", "c"), time_limit_s=60, **options
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "starter.py").write_text("def answer(comm, values):\n    raise NotImplementedError\n")
    return tmp_path


SUM = "def answer(comm, values):\n    return int(comm.allreduce(int(values.sum())))\n"


def test_many_judgements_leak_nothing(folder):
    exercise = sum_exercise(folder=folder)
    waits = "def answer(comm, values):\n    comm.Recv(values)\n"
    sources = [SUM, SUM.replace("comm.all", "comm.no_such_"), SUM + "    " * 3 + "\n", waits]
    me = psutil.Process()
    with Zygote() as zygote:
        inside = max(descendants(os.getpid()), key=lambda p: p.memory_info().rss)  # the process of Python

        def some(number):
            for turn in range(number):
                verdict = judge(exercise, sources[turn % 4], zygote=zygote)
                assert verdict.status == ["passed", "crashed", "passed", "deadlocked"][turn % 4], verdict.text()
            gc.collect()
            counts = me.num_fds(), inside.num_fds(), threading.active_count()
            return counts, me.memory_info().rss, inside.memory_info().rss

        first = some(40)
        last = some(200)
        assert last[0] == first[0]
        assert last[1] - first[1] < 30 << 20 and last[2] - first[2] < 30 << 20


def test_judges_in_threads(folder):
    """Each with its own zygote, and while this process simulates too; unusual types go through MPI itself."""
    from labkit.comm.simulated.run import simulate

    source = textwrap.dedent("""
        import numpy as np

        def answer(comm, values):
            comm.Allreduce(np.ones(50, np.longdouble), out := np.empty(50, np.longdouble))
            return comm.allreduce(int(values.sum())) * int(out[-1]) // comm.size
    """)
    exercises = [sum_exercise(number, folder=folder) for number in (2, 3, 4)]

    def grade(exercise):
        with Zygote() as zygote:
            return [judge(exercise, source, zygote=zygote).status for _ in range(12)]

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(grade, exercise) for exercise in exercises]
        for _ in range(30):
            run = simulate(3, lambda comm: comm.allreduce(comm.rank))
            assert run.results == [3, 3, 3]
        assert [one.result() for one in found] == [[Status.PASSED] * 12] * 3


ENDS_BADLY = [
    ("while True: pass", Late), ("comm.Recv(bytearray(1), 0)", Late), ("import os; os._exit(3)", Closed),
    ("import os; os.abort()", Closed), ("import faulthandler; faulthandler._sigsegv()", Closed),
    ("raise SystemExit(0)", AnswerRaised), ("1 / 0", AnswerRaised),
]


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("sandboxed", "act", "problem"),
    [("", *one) for one in ENDS_BADLY] + [("limits", *ENDS_BADLY[k]) for k in (0, 3, 6)],  # late, killed, raised
    indirect=["sandboxed"],
)
def test_a_real_rank_that_ends_badly(sandboxed, act, problem):
    source = f"def answer(comm):\n    if comm.rank == 1:\n        {act}\n    comm.Barrier()\n    return comm.rank\n"
    with RealRanks([2], find_sandbox(), **LIMITS) as ranks:
        ranks.load(source, "answer")
        started, folder = descendants(os.getpid()), ranks.folder.name
        assert len(started) >= 3
        with pytest.raises(RankProblem) as found:
            ranks.run([(), ()], 1 if problem is Late else DEADLINE_S)
        assert isinstance(found.value.__cause__, problem)
        assert found.value.rank == 1 or problem is Late  # rank 0 is late, too
    assert end_soon(started) and not os.path.exists(folder)


class AllAtOnce(selectors.DefaultSelector):
    """The judge comes late: it sees all connections closed at once, in the order of ranks or the other way round."""

    is_reversed = False

    def select(self, timeout=None):
        deadline = time.monotonic() + DEADLINE_S
        while len(found := super().select(timeout)) < len(self.get_map()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return sorted(found, key=lambda ready: ready[0].data, reverse=self.is_reversed)


class WhenItHasEnded(tuple):
    """Arguments by rank; those of rank 1 are there when rank 0 has ended."""

    processes: list = []

    def __getitem__(self, rank):
        if rank == 1:
            assert end_soon(self.processes)
        return super().__getitem__(rank)


@pytest.mark.mpi
@pytest.mark.parametrize("order", ["forwards", "backwards", "while sending"])
def test_the_rank_that_ended_by_itself_is_named_and_not_those_ended_with_it(order, monkeypatch):
    """The process manager ends the other ranks, whose connections the judge may see closed first."""
    if order != "while sending":
        monkeypatch.setattr(selectors, "DefaultSelector", AllAtOnce)
        monkeypatch.setattr(AllAtOnce, "is_reversed", order == "backwards")
    ends = [(0, "os._exit(0)", 0), (1, "os._exit(3)", 3), (1, "os.abort()", -6)]
    for who, act, status in ends[:1] if order == "while sending" else ends:
        body = f"import os\n        if comm.rank == {who}:\n            {act}\n        comm.Barrier()"
        with RealRanks([3], find_sandbox(), **LIMITS) as ranks:
            ranks.load(f"def answer(comm):\n    if True:\n        {body}\n", "answer")
            WhenItHasEnded.processes = [p for p in descendants(os.getpid()) if "watched_rank" in " ".join(p.cmdline())]
            assert len(WhenItHasEnded.processes) >= 6
            with pytest.raises(RankProblem) as found:
                ranks.run(WhenItHasEnded([()] * 3) if order == "while sending" else ((),) * 3, DEADLINE_S)
            assert isinstance(found.value.__cause__, Closed) and found.value.rank == who
            assert ranks.exit_statuses()[who] == status


@pytest.mark.mpi
@pytest.mark.usefixtures("sandboxed")
def test_real_ranks_run_one_case_after_the_other():
    with RealRanks([2], find_sandbox(), **LIMITS) as ranks:
        ranks.load(RING, "answer")
        started = descendants(os.getpid())
        for _ in range(3):
            assert [result["return"] for result in ranks.run([(), ()], DEADLINE_S)] == [1, 0]
    assert end_soon(started)
