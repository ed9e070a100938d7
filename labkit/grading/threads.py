"""Cases for a team of threads: simulated ones, on which races and deadlocks are found, and real ones.

The answer is called as ``function(team, *arguments)``. On simulated threads (:mod:`labkit.openmp.simulated_team`) a
race fails the case even if the values are right, and limits hold what the program costs. On real threads the kernels
are compiled, and the values count.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

from labkit.errors import UsageError
from labkit.grading.case_outcomes import Outcome, judge_results
from labkit.grading.exercise import Case, Slip
from labkit.grading.outcomes import Status
from labkit.grading.remote.calls import TEAM
from labkit.grading.remote.wire import plain_text

WORDS = {
    "num_path_accesses": "accesses one after the other", "num_criticals": "entries of critical sections",
    "num_atomics": "atomic operations", "num_barriers": "barriers",
    "num_shared_line_writes": "writes to cache lines that several threads write", "num_tasks": "tasks",
    "num_ordered_pairs": "pairs of tasks of which one waits for the other",
}
MAX_TEXT = 2000


@dataclass(frozen=True)
class TeamSetup:
    """The team of a case.

    Attributes
    ----------
    num_threads : int
    seed : int
        Of the simulated threads: who goes on at each step.
    compiled : bool
        Real threads and compiled kernels instead.
    limits : dict
        The most that the call may cost on simulated threads, by the names of
        :class:`labkit.openmp.simulated_team.report.Report`.
    """

    num_threads: int
    seed: int = 0
    compiled: bool = False
    limits: dict[str, int] = field(default_factory=dict)

    def __post_init__(self):
        if unknown := set(self.limits) - set(WORDS):
            raise UsageError(f"limits: {', '.join(sorted(unknown))} is unknown: they are {', '.join(WORDS)}.")

    def for_wire(self) -> dict:
        """What the process of the answer needs to know."""
        return {"num_threads": self.num_threads, "seed": self.seed, "compiled": self.compiled}


def threads_case(
    num_threads: int, label: str, arguments: tuple, expected: dict | None = None, *, seed: int = 0,
    compiled: bool = False,
    limits: dict[str, int] | None = None, **options,
) -> Case:
    """A case for ``num_threads`` threads.

    Parameters
    ----------
    label : str
        What the arguments are; the number of threads is put before it.
    arguments : tuple
        Those after ``team``.
    expected : dict, optional
        ``{"return": value, 0: value}``, as in :class:`.Case`; or ``judge=`` among the options.
    seed, compiled, limits
        See :class:`TeamSetup`.
    """
    words = f"{num_threads} {'real ' * compiled}thread{'s' * (num_threads > 1)}, {label}"
    setup = TeamSetup(num_threads, seed, compiled, {} if compiled else limits or {})
    return Case(words, (tuple(arguments),), (expected,) if expected is not None else (), team=setup, **options)


def judge_team(case: Case, result, parameters: tuple[str, ...]) -> Outcome:
    """What came of a call with a team: deadlock, race, values, cost, in this order."""
    report = result.pop(TEAM, None) if isinstance(result, dict) else None
    names = parameters[1:]
    if case.team.compiled:
        return judge_results(case, [result], names)
    if not _is_report(report):
        return Outcome(Status.CRASHED, "the report of the simulated threads has not arrived")
    if report["deadlock"]:
        return Outcome(Status.DEADLOCKED, plain_text(report["deadlock"], MAX_TEXT), results=(result,))
    if report["races"]:
        lines = [f"  line {line}: {plain_text(text, 120)}" for line, text in report["lines"]]
        more = [plain_text(text, MAX_TEXT) for text in report["races"][1:]]
        details = "\n".join([*lines, *more])
        return Outcome(Status.INCORRECT, plain_text(report["races"][0], MAX_TEXT), details=details, results=(result,))
    outcome = judge_results(case, [result], names)
    if outcome.status is not Status.PASSED:
        return outcome
    return _of_cost(case, report, outcome)


def _of_cost(case: Case, report: dict, outcome: Outcome) -> Outcome:
    """Right values, no race: what did it cost?"""
    limits = case.team.limits
    broken = [
        f"{report[name]:,} {WORDS[name]}, at most {limit:,}" for name, limit in limits.items() if report[name] > limit
    ]
    cost = ", ".join(f"{report[name]:,} of at most {limits[name]:,} {WORDS[name]}" for name in limits)
    if limits and case.team.num_threads > 1 and report["num_path_accesses"] and not report["num_regions"]:
        return dataclasses.replace(
            outcome, status=Status.INCORRECT,
            message="the values are right, but the team has run nothing: one thread did it all, outside of any region",
        )
    if broken:
        message = f"the values are right, but it costs too much: {'; '.join(broken)}"
        return dataclasses.replace(outcome, status=Status.OVER_BUDGET, message=message, cost=cost)
    return dataclasses.replace(outcome, cost=f"cost of the case {case.label}: {cost}" if cost else "")


def _is_report(report) -> bool:
    """Whether it has the form that it must have, whatever the process of the answer has sent."""
    if not isinstance(report, dict) or not isinstance(report.get("deadlock"), str):
        return False
    numbers = [report.get(name) for name in (*WORDS, "num_regions")]
    texts, lines = report.get("races"), report.get("lines")
    return (
        all(type(number) is int and number >= 0 for number in numbers)
        and isinstance(texts, list) and all(isinstance(text, str) for text in texts)
        and isinstance(lines, list)
        and all(isinstance(p, tuple) and len(p) == 2 and type(p[0]) is int and isinstance(p[1], str) for p in lines)
    )


# -- for slips --------------------------------------------------------------------------------------


def race_lines(failure) -> tuple[int, int] | None:
    """The lines of the two accesses of the first race, in the order of the message; None if there is no race."""
    found = re.findall(r"in line (\d+)", failure.message) if failure.message.startswith("race: ") else []
    return (int(found[0]), int(found[1])) if len(found) >= 2 else None


def is_lost_update(failure) -> bool:
    """Whether threads read and write an element in one line without protection."""
    lines = race_lines(failure)
    return lines is not None and lines[0] == lines[1]


def is_too_early(failure) -> bool:
    """Whether a thread reads in one line what another one writes in another line, and nothing orders them."""
    lines = race_lines(failure)
    return lines is not None and lines[0] != lines[1] and " reads " in failure.message


def costs_too_much(failure, name: str) -> bool:
    """Whether this limit is broken."""
    return failure.status is Status.OVER_BUDGET and WORDS[name] in failure.message


LOST_UPDATE = (
    "All threads read, change and write the same element: between the read and the write another thread writes, and "
    "one change is lost. Let each thread work on something of its own, and protect the rest: critical, or "
    "atomic_add."
)
TOO_EARLY = (
    "One thread reads what another one may not have written yet. Put a barrier between the two lines, which all "
    "threads reach."
)
NOT_ALL_AT_BARRIER = (
    "A barrier waits for all threads of the team, and some never come: it stands inside an if, or after a return. All "
    "threads must reach every barrier, those without work too."
)
NEVER_LEFT = "A thread has entered a critical section and has not left it: for each critical_enter one critical_exit."
SERIAL = "One thread does all the work while the others have none, or each does all of it: give every thread its block."
EVERY_ELEMENT = (
    "The threads wait for each other at every element, which takes longer than one thread alone. Collect in "
    "variables or arrays of the thread's own, and combine once a thread."
)


def common_slips() -> tuple[Slip, ...]:
    """What goes wrong with any program for threads."""
    return (
        Slip(LOST_UPDATE, is_lost_update),
        Slip(TOO_EARLY, is_too_early),
        Slip(NOT_ALL_AT_BARRIER, lambda f: f.status is Status.DEADLOCKED and "barrier" in f.message),
        Slip(NEVER_LEFT, lambda f: f.status is Status.DEADLOCKED and "critical section" in f.message),
        Slip(EVERY_ELEMENT, lambda f: costs_too_much(f, "num_criticals") or costs_too_much(f, "num_atomics")),
        Slip(SERIAL, lambda f: costs_too_much(f, "num_path_accesses")),
    )
