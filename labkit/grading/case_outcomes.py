"""What came of one case: from results, exceptions, deadlocks and traffic to a status and a sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections import Counter
from dataclasses import dataclass

from labkit.comm.simulated.run import Counts, Simulation
from labkit.errors import (
    CellInterruptedError,
    CollectiveMismatchError,
    DeadlockError,
    NotAvailableError,
    RankFailedError,
)
from labkit.grading.compare import difference, short
from labkit.grading.exercise import COMPUTED_S, RETURN, Budget, Case
from labkit.grading.outcomes import Status
from labkit.grading.remote.calls import PASSES
from labkit.grading.remote.ranks import RankProcesses
from labkit.grading.remote.server import AnswerRaised, ForbiddenCall
from labkit.grading.remote.wire import Closed, Late, Odd, WireError

BUDGET_WORDS = {
    "num_messages": "messages", "num_bytes": "bytes", "num_rounds": "rounds", "num_reduced_elements": "reduced elements",
    "max_bytes_sent": "bytes sent by one rank", "max_bytes_received": "bytes received by one rank",
}
NAMES = {RETURN: "what is returned", COMPUTED_S: "the time computed, in s,"}
MAX_HISTOGRAM_ROWS = 8
SIGNALS = {
    -6: "it aborted, perhaps for lack of memory", -9: "it was killed, perhaps for using too much memory",
    -11: "segmentation fault", -24: "it used too much processor time", -31: "it made a system call that is not allowed",
}


@dataclass(frozen=True)
class Outcome:
    """What came of one case."""

    status: Status
    message: str = ""
    rank: int | None = None
    expected: str = ""
    actual: str = ""
    details: str = ""
    results: tuple = ()
    cost: str = ""


def with_computed_time(result, rank):
    """A simulated rank's result with the virtual time that it has computed."""
    return result | {COMPUTED_S: float(rank.computed_s)} if isinstance(result, dict) else result


def judge_results(case: Case, results: list, parameters: tuple[str, ...] = ()) -> Outcome:
    """What the ranks have brought against what is expected; ``parameters`` are the names that the answer gives them."""
    for rank, result in enumerate(results):
        if not isinstance(result, dict):
            return Outcome(Status.CRASHED, "the function brought no results", rank=rank)
    results = tuple(results)
    if case.judge is not None:
        try:
            problem = case.judge([dict(result) for result in results])
        except Exception as error:  # odd values: the judge of the case expects better ones
            odd = [value for result in results for value in result.values() if isinstance(value, Odd)]
            problem = f"the values cannot be judged ({odd[0]!r})" if odd else f"the values cannot be judged ({error})"
        if problem:
            return Outcome(Status.INCORRECT, problem, results=results)
        return Outcome(Status.PASSED, results=results)
    for rank, expected in enumerate(case.expected):
        for key, wanted in expected.items():
            actual = results[rank].get(key)
            problem = difference(wanted, actual, case.rtol, case.atol, case.max_ulp)
            if problem:
                what = _name_of(key, parameters[case.num_ranks > 0 :])
                where = f"on {'real ' if case.real else ''}rank {rank}, " if case.num_ranks else ""
                return Outcome(
                    Status.INCORRECT, f"{where}{what}{': ' if problem.startswith(('element', 'item')) else ' '}{problem}", rank=rank if case.num_ranks else None,
                    expected=short(wanted), actual=short(actual), results=results,
                )
    return Outcome(Status.PASSED, results=results)


def _name_of(key: int | str, parameters: tuple[str, ...]) -> str:
    """A result in words; ``parameters`` without the communicator."""
    if key in NAMES:
        return NAMES[key]
    return parameters[key] if key < len(parameters) else f"argument {key} (counted from 0, without comm)"


def with_histogram(outcome: Outcome, results: list, num_wrong: int) -> Outcome:
    """A wrong outcome of some repetitions of a call: how often, and which results came how often."""
    if len(results) == 1:
        return outcome
    found = Counter(short(result.get(RETURN)) if isinstance(result, dict) else "nothing" for result in results)
    rows = [f"  {count:>6} x  {value}" for value, count in found.most_common(MAX_HISTOGRAM_ROWS)]
    rows += [f"  and {len(found) - MAX_HISTOGRAM_ROWS} more"] * (len(found) > MAX_HISTOGRAM_ROWS)
    return dataclasses.replace(
        outcome, message=f"wrong in {num_wrong} of {len(results)} calls: {outcome.message}",
        details="results of the same call:\n" + "\n".join(rows),
    )


def of_error(exercise, case, error, ranks, servers) -> Outcome:
    """A simulation that did not end well."""
    if isinstance(error, CellInterruptedError):  # the Stop button is no fault of the answer
        raise error
    if isinstance(error, DeadlockError):
        is_mismatch = isinstance(error, CollectiveMismatchError)
        words = "the ranks called different collectives" if is_mismatch else "every rank waits, and nothing can move any more"
        if case.unsafe_sends:
            words += " when sends wait for their receives, as MPI allows"
        return Outcome(Status.DEADLOCKED, f"deadlock: {words}", details=str(error))
    cause = error.__cause__
    if isinstance(error, RankFailedError) and isinstance(cause, (AnswerRaised, ForbiddenCall, Closed, Late, WireError)):
        rank = next(s.rank for s in error.statuses if s.state == "failed")
        return of_failure(exercise, case, cause, ranks, rank, servers[rank].line)
    return Outcome(Status.CRASHED, _first_line(error), details=str(error))


def of_failure(exercise, case, error, ranks, rank: int, line: int | None = None) -> Outcome:
    """A rank that raised, ended, took too long, made a forbidden call, or said what cannot be understood."""
    who = f"{'real ' if case.real else ''}rank {rank}" if case.num_ranks else "the function"
    at = f", line {line}" if line else ""
    shown = rank if case.num_ranks else None
    if isinstance(error, ForbiddenCall):
        return Outcome(
            Status.FORBIDDEN_CALL, f"{error.name}{at} is not allowed here: write it with sends and receives"
            if error.name.lower() not in ("send", "recv") else f"{error.name}{at} is not allowed here", rank=shown,
        )
    if isinstance(error, AnswerRaised):
        if error.kind == "NotImplementedError":
            return Outcome(Status.NOT_ATTEMPTED, "the function raises NotImplementedError: write it, then check again")
        where = f", line {error.line}" if error.line else ""
        said = f"{error.kind}: {error.words}" if error.words else error.kind
        return Outcome(Status.CRASHED, f"{who} raised {said}{where}", rank=shown, details=error.trace)
    if isinstance(error, Late):
        return Outcome(
            Status.TIMED_OUT, f"{who} was not done after {exercise.time_limit_s:g} s"
            + (f"; its last call was in line {line}" if line else ""), rank=shown,
        )
    if isinstance(error, Closed):
        return Outcome(Status.CRASHED, f"{who}: {_ending(ranks, rank)}{at}", rank=shown)
    return Outcome(Status.CRASHED, f"{who}: what it sent cannot be understood: {error}", rank=shown)


def _ending(ranks: RankProcesses, rank: int) -> str:
    """How the process of a rank has ended."""
    with contextlib.suppress(NotAvailableError):
        status = ranks.exit_statuses()[rank] if ranks is not None else None
        if status is not None and status < 0:
            reason = f" ({SIGNALS[status]})" if status in SIGNALS else ""
            return f"its process was ended by signal {-status}{reason} before the function returned"
        if status is not None:
            return f"its process ended with exit status {status} before the function returned"
    return "its process ended before the function returned"


def of_traffic(case: Case, simulation: Simulation, outcome: Outcome) -> Outcome:
    """Right values: was everything received, and what did it cost?"""
    if simulation.num_unreceived:
        number = simulation.num_unreceived
        return dataclasses.replace(
            outcome, status=Status.INCORRECT,
            message=f"the values are right, but {number} message{'s were' if number > 1 else ' was'} sent and never received",
        )
    if simulation.left_over:
        rank, left = next(iter(simulation.left_over.items()))
        return dataclasses.replace(
            outcome, status=Status.INCORRECT, rank=rank,
            message=f"the values are right, but rank {rank} never completed {left[0]}: wait for every request",
        )
    if case.budget is None:
        return outcome
    counts = simulation.counts()
    time_s = float(max(rank.now for rank in simulation.world.ranks))
    cost = _cost_text(case.budget, counts, time_s)
    excess = _excess(case.budget, counts, time_s)
    if excess:
        return dataclasses.replace(
            outcome, status=Status.OVER_BUDGET, message=f"the values are right, but it costs too much: {excess}", cost=cost
        )
    return dataclasses.replace(outcome, cost=f"cost of the case {case.label}: {cost}")


def of_passes(case: Case, results: list[dict], outcome: Outcome) -> Outcome:
    """Right values: how often did the calls go through memory?"""
    found = [result.get(PASSES) for result in results]
    if not all(type(number) is float and 0 <= number < math.inf for number in found):
        return dataclasses.replace(
            outcome, status=Status.CRASHED, message="the count of passes through memory has not arrived"
        )
    most, limit = max(found), case.budget.num_passes
    cost = f"{most:.1f} of at most {limit:g} passes through memory"
    if most > limit * (1 + 1e-9):
        message = f"the values are right, but it read and wrote {most:.1f} times the array, {limit:g} is enough"
        return dataclasses.replace(outcome, status=Status.OVER_BUDGET, message=message, cost=cost)
    return dataclasses.replace(outcome, cost=f"cost of the case {case.label}: {cost}")


def _excess(budget: Budget, counts: Counts, time_s: float) -> str:
    """Which limits are broken."""
    broken = [
        f"{getattr(counts, name):,} {words}, at most {limit:,}"
        for name, words in BUDGET_WORDS.items()
        if (limit := getattr(budget, name)) is not None and getattr(counts, name) > limit
    ]
    if budget.time_s is not None and time_s > budget.time_s * (1 + 1e-9):
        broken.append(f"{time_s:.4g} s of virtual time, at most {budget.time_s:.4g} s")
    return "; ".join(broken)


def _cost_text(budget: Budget, counts: Counts, time_s: float) -> str:
    parts = [
        f"{getattr(counts, name):,} of at most {limit:,} {words}"
        for name, words in BUDGET_WORDS.items()
        if (limit := getattr(budget, name)) is not None
    ]
    if budget.time_s is not None:
        parts.append(f"{time_s:.4g} of at most {budget.time_s:.4g} s of virtual time")
    return ", ".join(parts)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
