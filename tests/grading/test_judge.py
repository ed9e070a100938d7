"""The judge: every status, and answers that try to fool it."""

import dataclasses
import os
import shutil
import threading
import time

import numpy as np
import pytest

from labkit.grading.exercise import COLLECTIVES, COMPUTED_S, Budget, Exercise, Slip, mpi_case
from labkit.grading.exercise import Case as PlainCase
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.remote.ranks import Zygote
from tests.grading.attacks import ATTACKS, RIGHT

STARTER = 'def total(comm, values, out):\n    """Write it."""\n    raise NotImplementedError\n'
SANDBOXES = ["", "no-bubblewrap", "limits"]


def total_case(p, n, **options):
    values = np.random.default_rng([p, n]).integers(-99, 99, (p, n))
    budget = Budget(num_messages=p * (p - 1), num_bytes=p * (p - 1) * n * 8, num_rounds=p - 1)
    if options.get("real"):
        budget = None
    words = f"{p} rank{'s' if p > 1 else ''}, {n} elements"
    return mpi_case(
        p, words, lambda rank: (values[rank].copy(), np.full(n, -7)), lambda rank: {1: values.sum(axis=0), "return": None},
        budget=budget, **options,
    )


def total_cases():
    return [
        total_case(1, 3), total_case(2, 0), total_case(2, 5, unsafe_sends=True), total_case(3, 4, seed=1), total_case(3, 2),
        total_case(5, 7, unsafe_sends=True),
    ]


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "exercises" / "topic" / "folder"
    found.mkdir(parents=True)
    (found / "starter.py").write_text(STARTER)
    (found / "reference.py").write_text(RIGHT)
    return found


@pytest.fixture
def exercise(folder):
    return Exercise(
        "Total", "total", 10, total_cases, ("a", "b", "c"), forbidden=COLLECTIVES, points_over_budget=4, time_limit_s=3,
        memory_bytes=1 << 28, name="topic/folder", folder=folder,
    )


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as found:
        yield found


def test_right_answer_has_all_points(exercise, zygote):
    verdict = judge(exercise, RIGHT, zygote=zygote)
    assert verdict.status is Status.PASSED and verdict.points == verdict.max_points == 10, verdict.text()
    assert verdict.num_passed == verdict.num_cases == 6
    assert "20 of at most 20 messages" in verdict.cost and "limits" in verdict.sandbox
    assert Verdict.from_dict(verdict.to_dict()) == verdict


def changed(old, new):
    assert old in RIGHT
    return RIGHT.replace(old, new)


@pytest.mark.parametrize(
    ("source", "status", "words"),
    [
        (None, "not attempted", ["total"]),
        ("", "not attempted", ["total"]),
        (STARTER, "not attempted", ["given"]),
        ("# a remark\n" + STARTER.replace('"""Write it."""', '"""Mine."""'), "not attempted", ["given"]),
        ("def total(comm, values, out):\n    if comm.size:\n        raise NotImplementedError\n", "not attempted", ["NotImplementedError"]),
        ("def total(comm, values, out)\n    pass\n", "crashed", ["SyntaxError", "line 1"]),
        ("x = 1\n", "crashed", ["total"]),
        (changed("range(comm.size - 1)", "range(comm.size - 2)"), "incorrect", ["2 ranks, 5 elements", "rank 0", "expected", "actual"]),
        (changed("out += passing", "out += passing[::-1]"), "incorrect", ["2 ranks, 5 elements"]),
        (changed("comm.Sendrecv(passing, right, 0, arriving, left, 0)", "comm.Send(passing, right); comm.Recv(arriving, left)"),
         "deadlocked", ["as MPI allows", "2 ranks, 5 elements", "line 10", "Sendrecv"]),
        (changed("comm.Sendrecv(passing, right, 0, arriving, left, 0)", "comm.Recv(arriving, left)"), "deadlocked", ["Recv"]),
        (changed("left, 0)", "left, 1)"), "deadlocked", ["tag"]),
        (changed("out += passing", "out += passing + 0 // (comm.size - 3)"), "crashed", ["3 ranks", "line 12", "ZeroDivisionError"]),
        (changed("        out += passing", "        out += passing\n    comm.Send(values, right)\n    comm.Recv(arriving, left)"),
         "incorrect", ["1 rank"]),
        (changed("        out += passing", "        out += passing\n    comm.isend(1, right)"), "incorrect", ["never received"]),
        (changed("comm.size - 1)", "comm.size * 2 - 1)").replace("out += passing", "out += passing if _ < comm.size - 1 else 0"),
         "over budget", ["messages, at most", "the values are right"]),
        (RIGHT + "    return out\n", "incorrect", ["what is returned", "1 rank"]),
        (changed("passing, arriving = values.copy(), np.empty_like(values)", "passing, arriving = values.copy(), np.empty(len(values) // 2, int)"),
         "crashed", ["buffer", "2 ranks, 5 elements"]),
    ],
)
def test_statuses(exercise, zygote, source, status, words):
    if source is not None and "comm.Send(values, right)\n    comm.Recv" in source:
        words = ["as MPI allows"]  # a rank that sends to itself first
        status = "deadlocked"
    verdict = judge(exercise, source, zygote=zygote)
    assert verdict.status == status, verdict.text()
    assert verdict.points == (4 if status == "over budget" else 0)
    for word in words:
        assert word in verdict.text(), verdict.text()


def test_the_first_failing_case_has_a_timeline(exercise, zygote):
    verdict = judge(exercise, changed("range(comm.size - 1)", "range(comm.size - 1 - (comm.size == 5))"), zygote=zygote)
    assert verdict.case == "5 ranks, 7 elements" and verdict.num_passed == 5
    events = verdict.timeline["traceEvents"]
    assert {event["pid"] for event in events} == set(range(5))
    assert sum(event.get("ph") == "s" for event in events) == 15  # messages


def test_slips(exercise, zygote):
    def is_own(failure):
        return all(np.array_equal(failure.actual(rank, 1), failure.case.arguments[rank][0]) for rank in range(failure.case.num_ranks))

    slips = (Slip("never", lambda f: f.nothing), Slip("the own values only", is_own), Slip("always", lambda f: True))
    with_slips = dataclasses.replace(exercise, slips=slips)
    assert judge(with_slips, changed("out += passing", "pass"), zygote=zygote).slip == "the own values only"
    assert judge(with_slips, changed("out += passing", "out += 1"), zygote=zygote).slip == "always"
    assert judge(with_slips, RIGHT, zygote=zygote).slip == ""


def test_time_computed_is_judged(exercise, zygote):
    def cases():
        return [mpi_case(2, "work", lambda rank: (rank + 1.0,), lambda rank: {COMPUTED_S: rank + 1.0}, budget=Budget(time_s=2.0))]

    works = dataclasses.replace(exercise, cases=cases)
    source = "from labkit.comm.reduction import compute_for\ndef total(comm, seconds):\n    compute_for(comm, seconds{})\n"
    assert judge(works, source.format(""), zygote=zygote).passed
    lazy = judge(works, source.format(" / 2"), zygote=zygote)
    assert lazy.status is Status.INCORRECT and "time computed" in lazy.message
    waits = "    comm.Barrier()\n    compute_for(comm, 0 * seconds)\n    comm.Barrier()\n"
    late = judge(dataclasses.replace(works, forbidden=()), source.format("") + waits, zygote=zygote)
    assert late.status is Status.OVER_BUDGET and "virtual time" in late.message


def test_functions_without_a_communicator(exercise, zygote):
    def cases():
        return [
            PlainCase("three and four", ((3, 4.0),), ({"return": 5.0},), rtol=1e-9),
            PlainCase("an array", ((np.array([1.0, 2.0]), None),), ({"return": {"sum": 3.0, "list": [1, 2]}},)),
        ]

    plain = dataclasses.replace(exercise, function="f", cases=cases, forbidden=())
    right = "def f(a, b):\n    return (a * a + b * b) ** 0.5 if b else {'sum': a.sum(), 'list': (1, 2)}\n"
    assert judge(plain, right, zygote=zygote).passed
    wrong = judge(plain, "def f(a, b):\n    return a + b\n", zygote=zygote)
    assert (wrong.status, wrong.rank, wrong.message) == (Status.INCORRECT, None, "what is returned is 7.0 instead of 5.0")
    assert "line 2" in judge(plain, "def f(a, b):\n    return a / 0\n", zygote=zygote).text()


def test_repeated_calls_tell_how_often_which_result_came(exercise, zygote):
    def cases():
        return [PlainCase("200 calls", ((100,),), ({"return": 100},), repeats=200)]

    plain = dataclasses.replace(exercise, function="f", cases=cases, forbidden=())
    assert judge(plain, "def f(n):\n    return n\n", zygote=zygote).passed
    sometimes = "calls = []\ndef f(n):\n    calls.append(1)\n    return n - (len(calls) % 50 == 0) - 2 * (len(calls) == 7)\n"
    verdict = judge(plain, sometimes, zygote=zygote)
    assert verdict.status is Status.INCORRECT and verdict.message.startswith("wrong in 5 of 200 calls")
    assert [line.split() for line in verdict.details.splitlines()[1:]] == [["195", "x", "100"], ["4", "x", "99"], ["1", "x", "98"]]


def test_errors_in_units_in_the_last_place(exercise, zygote):
    def cases():
        return [PlainCase("one third", ((1.0, 3.0),), ({"return": 1 / 3},), max_ulp=2)]

    plain = dataclasses.replace(exercise, function="f", cases=cases, forbidden=())
    ulp = float(np.spacing(1 / 3))
    assert judge(plain, f"def f(a, b):\n    return a / b + 2 * {ulp!r}\n", zygote=zygote).passed
    assert judge(plain, f"def f(a, b):\n    return a / b - 3 * {ulp!r}\n", zygote=zygote).status is Status.INCORRECT


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_is_fooled(exercise, zygote, folder, tmp_path, name):
    source, statuses = ATTACKS[name]
    victim = tmp_path / "precious" / "data.txt"
    victim.parent.mkdir()
    victim.write_text("precious")
    source = source.replace("VICTIM", str(victim)).replace("REFERENCE", str(folder))
    hidden = dataclasses.replace(exercise, memory_bytes=1 << 27)
    verdict = judge(hidden, source, zygote=zygote)
    assert verdict.points == 0 and verdict.status in statuses, verdict.text()
    assert victim.read_text() == "precious"
    assert judge(exercise, RIGHT, zygote=zygote).passed  # the next question is not harmed


@pytest.mark.parametrize("sandbox", SANDBOXES[1:])
@pytest.mark.parametrize(
    "name", ["ends its process", "deletes files", "reads the reference", "forks", "opens a socket", "kills its parents",
             "uses the course's own solution", "allocates 100 GB"],
)
def test_with_less_of_a_sandbox(exercise, folder, tmp_path, monkeypatch, sandbox, name):
    monkeypatch.setenv("LABKIT_SANDBOX", sandbox)
    source, statuses = ATTACKS[name]
    victim = tmp_path / "precious" / "data.txt"
    victim.parent.mkdir()
    victim.write_text("precious")
    monkeypatch.setenv("LABKIT_EXERCISES", str(folder.parents[1]))
    verdict = judge(exercise, source.replace("VICTIM", str(victim)).replace("REFERENCE", str(folder)))
    assert verdict.points == 0 and verdict.status in statuses, verdict.text()
    assert victim.read_text() == "precious"
    assert "bubblewrap," not in verdict.sandbox and "limits" in verdict.sandbox


def real_cases():
    return [total_case(2, 3), total_case(2, 30_000, real=True), total_case(3, 5, real=True)]


def test_real_ranks(exercise):
    real = dataclasses.replace(exercise, cases=real_cases)
    verdict = judge(real, RIGHT)
    assert verdict.passed and verdict.num_passed == 3, verdict.text()


@pytest.mark.parametrize(
    ("on_real", "status", "words"),
    [
        ("os._exit(0)", "crashed", "real rank"),
        ("comm.recv(source=comm.rank)", "timed out", "real rank"),
        ("out[:] = 0", "incorrect", "real rank 0"),
        ("1 / 0", "crashed", "ZeroDivisionError"),
    ],
)
def test_real_ranks_that_fail(exercise, on_real, status, words):
    """An answer that behaves on simulated ranks only."""
    source = "import os\nfrom mpi4py import MPI\n" + RIGHT + f"    if isinstance(comm, MPI.Comm) and comm.rank == 0:\n        {on_real}\n"
    verdict = judge(dataclasses.replace(exercise, cases=real_cases, time_limit_s=2), source)
    assert verdict.status == status and words in verdict.text() and verdict.points == 0, verdict.text()


SABOTAGE = "import numpy as np\nfrom mpi4py import MPI\n" + RIGHT + """
    if isinstance(comm, MPI.Comm) and comm.size == 3:
        np.empty_like = lambda *a, **k: 1 / 0
"""


def test_real_ranks_that_are_kept(exercise):
    """They serve several answers, and what one leaves behind harms no other."""
    real = dataclasses.replace(exercise, cases=real_cases)
    with Zygote(keeps_real_ranks=True) as own:
        assert judge(real, RIGHT, zygote=own).passed
        kept = own._real_ranks
        assert kept.num_answers == 1
        assert judge(real, RIGHT + "    comm.size\n", zygote=own).passed
        assert own._real_ranks is kept and kept.num_answers == 2
        wrong = judge(real, RIGHT + "    from mpi4py import MPI\n    out -= isinstance(comm, MPI.Comm)\n", zygote=own)
        assert wrong.status is Status.INCORRECT and "real rank" in wrong.text() and own._real_ranks is None
        assert judge(real, SABOTAGE, zygote=own).passed
        sabotaged = own._real_ranks
        assert judge(real, RIGHT, zygote=own).passed  # on fresh ones
        assert own._real_ranks not in (None, sabotaged)
        other_memory = dataclasses.replace(real, memory_bytes=real.memory_bytes * 2)
        assert judge(other_memory, RIGHT, zygote=own).passed and own._real_ranks.num_answers == 1
        last = own._real_ranks
    assert last.process.poll() is not None


def test_the_same_answer_has_the_same_verdict(exercise, zygote):
    def found(source):
        return dataclasses.replace(judge(exercise, source, zygote=zygote), seconds=0)

    for source in (RIGHT, changed("out += passing", "out -= passing"), ATTACKS["calls what is forbidden"][0]):
        assert found(source) == found(source)


def test_nothing_is_left_behind(exercise):
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with Zygote() as own:
        judge(exercise, ATTACKS["leaves a thread behind"][0], zygote=own)
        folder = own.folder.name
    assert own.process.poll() is not None and not os.path.exists(folder)
    assert threading.active_count() < 20
    if before is not None:
        deadline = time.monotonic() + 5
        while set(os.listdir("/proc/self/fd")) - before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(set(os.listdir("/proc/self/fd")) - before) <= 1


def test_hidden_cases_count(exercise, folder, zygote):
    (folder / "hidden.py").write_text(
        "from labkit.grading.exercise import mpi_case\n"
        "def cases():\n    return [mpi_case(2, 'hidden', lambda r: ([1], [2]), lambda r: {'return': 1})]\n"
    )
    try:
        verdict = judge(exercise, RIGHT, zygote=zygote)
    finally:
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        (folder / "hidden.py").unlink()
    assert verdict.case == "hidden" and verdict.points == 0
