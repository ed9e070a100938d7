"""Cases for a team of threads: what is judged in which order, and what an answer cannot do about it."""

import dataclasses

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.grading.exercise import Exercise, Failure
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.remote.calls import TEAM
from labkit.grading.remote.sandboxed import Zygote
from labkit.grading.threads import TeamSetup, common_slips, judge_team, race_lines, threads_case

pytestmark = pytest.mark.timeout(240)
HEAD = """
import numba
import numpy as np
from labkit.openmp.sync import *
from labkit.openmp.sync import thread_num, num_threads
"""
CLEAN = HEAD + """
@numba.njit(cache=True)
def body(team, x, total):
    start, stop = static_block(x.size)
    critical_enter(team)
    total[0] += x[start:stop].sum()
    critical_exit(team)
"""
CALL = """
def add(team, x):
    total = np.zeros(1)
    team.parallel(body, x, total)
    return total[0]
"""


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as started:
        yield started


@pytest.fixture
def exercise(tmp_path):
    (tmp_path / "starter.py").write_text("def add(team, x):\n    raise NotImplementedError\n")

    def cases():
        x = np.arange(12.0)
        limits = {"num_criticals": 4, "num_path_accesses": 30}
        return [
            threads_case(2, "12 elements", (x,), {"return": 66.0}, limits=limits),
            threads_case(4, "12 elements", (x,), {"return": 66.0}, seed=1, limits=limits),
            threads_case(2, "12 elements", (x,), {"return": 66.0}, compiled=True),
        ]

    return Exercise(
        "Add", "add", 2, cases, ("a", "b", "c"), slips=common_slips(), points_over_budget=1, time_limit_s=30.0,
        name="threads/add", folder=tmp_path,
    )


def test_a_clean_answer_passes_on_simulated_and_real_threads(exercise, zygote):
    verdict = judge(exercise, CLEAN + CALL, zygote=zygote)
    assert (verdict.status, verdict.points, verdict.num_passed) == (Status.PASSED, 2, 3), verdict.text()
    assert "entries of critical sections" in verdict.cost


def changed(*pairs, call=CALL):
    text = CLEAN
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text + call


ENTER, EXIT = "    critical_enter(team)\n", "    critical_exit(team)\n"


@pytest.mark.parametrize(("source", "status", "words"), [
    (changed((ENTER, ""), (EXIT, "")), Status.INCORRECT, "race: thread"),
    (changed((EXIT, "")), Status.DEADLOCKED, "waits for critical section 0"),
    (changed(("    critical_enter", "    if thread_num() == 0:\n        barrier(team)\n    critical_enter")),
        Status.DEADLOCKED, "barrier"),
    (changed(("total[0] +=", "total[0] -=")), Status.INCORRECT, "instead of 66"),
    (changed(("total[0] +=", "total[5] +=")), Status.CRASHED, "raised IndexError: total[5] is outside"),
    (changed((ENTER, ENTER + EXIT + ENTER)), Status.OVER_BUDGET, "8 entries of critical sections, at most 4"),
    (changed(call="def add(team, x):\n    return x.sum()\n"), Status.INCORRECT, "the team has run nothing"),
    (changed(call="def add(team, x):\n    return 66.0\n"), Status.PASSED, "all 3 cases"),
    (changed(("    total[0] +=", "    total[0] += len(str(x.size)) * 0 +")), Status.PASSED, ""),
    (changed(call=CALL.replace("team.parallel(body, x, total)",
        "try:\n        team.parallel(body, x)\n    except ZeroDivisionError:\n        pass")),
     Status.CRASHED, "TypeError"),
])
def test_what_is_judged(exercise, zygote, source, status, words):
    verdict = judge(exercise, source, zygote=zygote)
    assert verdict.status is status and words in verdict.text(), verdict.text()


def test_a_race_names_the_lines_of_the_answer(exercise, zygote):
    source = changed((ENTER, ""), (EXIT, ""))
    line = source.splitlines().index("    total[0] += x[start:stop].sum()") + 1
    verdict = judge(exercise, source, zygote=zygote)
    assert verdict.message.count(f"total[0] in line {line}") == 2
    assert f"line {line}: total[0] += x[start:stop].sum()" in verdict.details and "one change is lost" in verdict.slip


def test_a_deadlock_that_the_answer_catches_is_one_all_the_same(exercise, zygote):
    call = CALL.replace(
        "    team.parallel(body, x, total)\n",
        "    try:\n        team.parallel(body, x, total)\n    except BaseException:\n        total[0] = 66\n",
    )
    verdict = judge(exercise, changed((EXIT, ""), call=call), zygote=zygote)
    assert verdict.status is Status.DEADLOCKED


def test_a_kernel_that_does_not_compile_is_told_with_its_reason(exercise, zygote):
    source = changed(("    total[0] +=", "    {}.update(a=[1, 'x'])\n    total[0] +="))
    verdict = judge(exercise, source, zygote=zygote)
    assert verdict.status is Status.CRASHED and "does not compile" in verdict.message, verdict.text()
    assert verdict.case.startswith("2 real threads")


def test_an_endless_loop_ends(exercise, zygote):
    slow = dataclasses.replace(exercise, time_limit_s=2.0)
    source = changed(("    critical_enter", "    while thread_num() == 1:\n        pass\n    critical_enter"))
    verdict = judge(slow, source, zygote=zygote)
    assert verdict.status is Status.TIMED_OUT


@pytest.mark.parametrize("statement", [
    "open('/tmp/x', 'w')", "import socket; socket.socket()", "import labkit.grading.judge",
    "import labkit.mpi.collectives",
    "import subprocess; subprocess.run(['true'])", "import ctypes; ctypes.CDLL('libm.so.6')",
    "import labkit.openmp.kernels",
])
def test_answers_with_threads_may_do_no_more_than_others(exercise, zygote, statement):
    verdict = judge(exercise, CLEAN + f"\n{statement}\n" + CALL, zygote=zygote)
    refused = any(words in verdict.text() for words in ("may not", "not permitted"))
    assert verdict.status is Status.CRASHED and refused, verdict.text()


def test_other_answers_find_no_numba_that_was_prepared_for_these(exercise, zygote):
    assert judge(exercise, CLEAN + CALL, zygote=zygote).passed
    (exercise.folder / "starter.py").write_text("def twice(x):\n    raise NotImplementedError\n")
    from labkit.grading.exercise import Case

    other = dataclasses.replace(exercise, function="twice", cases=lambda: [Case("1", ((1,),), ({"return": 2},))])
    assert judge(other, "def twice(x):\n    return 2 * x\n", zygote=zygote).passed
    seen = judge(other, "import sys\ndef twice(x):\n    return sorted(sys.modules)\n", zygote=zygote)
    assert "numba" not in seen.actual
    assert judge(other, "import numba\ndef twice(x):\n    return 2 * x\n", zygote=zygote).status is Status.CRASHED


REPORT = {
    "races": [], "lines": [], "deadlock": "", "num_regions": 1, "num_path_accesses": 5, "num_criticals": 0,
    "num_atomics": 0,
    "num_barriers": 0, "num_shared_line_writes": 0, "num_tasks": 0, "num_ordered_pairs": 0,
}


@pytest.mark.parametrize("odd", [
    None, "text", {}, REPORT | {"num_criticals": "0"}, REPORT | {"num_atomics": -1}, REPORT | {"races": [3]},
    REPORT | {"lines": [(1,)]}, REPORT | {"deadlock": None}, REPORT | {"num_regions": True}, REPORT | {"lines": ["ab"]},
])
def test_a_report_of_another_form_is_not_read(odd):
    case = threads_case(2, "x", (), {"return": 1})
    assert judge_team(case, {"return": 1, TEAM: odd}, ("team",)).status is Status.CRASHED
    assert judge_team(case, {"return": 1, TEAM: dict(REPORT)}, ("team",)).status is Status.PASSED
    assert judge_team(case, None, ("team",)).status is Status.CRASHED


def test_deadlock_comes_before_race_before_values_before_cost():
    case = threads_case(2, "x", (), {"return": 1}, limits={"num_path_accesses": 4})
    bad = REPORT | {"deadlock": "deadlock: all", "races": ["race: in line 3 and in line 4"]}
    found = []
    cheap = REPORT | {"num_path_accesses": 4}
    for changes, value in ((bad, 2), (bad | {"deadlock": ""}, 2), (REPORT, 2), (REPORT, 1), (cheap, 1)):
        found.append(judge_team(case, {"return": value, TEAM: dict(changes)}, ("team",)))
    assert [outcome.status for outcome in found] == [
        Status.DEADLOCKED, Status.INCORRECT, Status.INCORRECT, Status.OVER_BUDGET, Status.PASSED]
    assert found[1].message.startswith("race") and "instead of 1" in found[2].message
    assert "5 accesses one after the other, at most 4" in found[3].message


def test_the_lines_of_a_race():
    def failure(message):
        return Failure(Status.INCORRECT, None, [], message, "", "")

    message = "race: thread 0 reads x[1] in line 12, thread 1 writes x[1] in line 7, and nothing orders them"
    assert race_lines(failure(message)) == (12, 7)
    assert race_lines(failure("what is returned is 1 in line 3 in line 4")) is None


def test_unknown_limits_are_refused():
    with pytest.raises(UsageError, match="num_messages is unknown"):
        TeamSetup(2, limits={"num_messages": 1})
