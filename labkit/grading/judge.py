"""Judging an answer: run it on every case, and say what came of it."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from labkit.comm.simulated.run import Counts, Simulation
from labkit.errors import CellInterruptedError, DeadlockError, NotAvailableError, RankFailedError
from labkit.grading.compare import difference, short
from labkit.grading.exercise import RETURN, Budget, Case, Exercise, Failure
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.remote.ranks import RankProcesses, Zygote
from labkit.grading.remote.server import AnswerRaised, ForbiddenCall
from labkit.grading.remote.wire import Closed, Late, Odd, WireError

BUDGET_WORDS = {
    "num_messages": "messages", "num_bytes": "bytes", "num_rounds": "rounds", "num_reduced_elements": "reduced elements",
    "max_bytes_sent": "bytes sent by one rank", "max_bytes_received": "bytes received by one rank",
}
MAX_TIMELINE_RANKS = 16
MAX_TIMELINE_SPANS = 3000


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


def judge(
    exercise: Exercise, source: str | None, *, zygote: Zygote | None = None, progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Run an answer on every case of an exercise.

    Parameters
    ----------
    exercise : Exercise
    source : str or None
        Of the answer: a text that defines the function. None if there is none.
    zygote : Zygote, optional
        The process that starts ranks, if several answers are judged one after the other.
    progress : callable, optional
        ``progress(cases done, cases)``.

    Returns
    -------
    Verdict
        Whatever the answer does.

    Raises
    ------
    NotAvailableError
        Answers cannot be run on this machine.
    KeyboardInterrupt
        The Stop button; the processes have been ended.
    """
    start = time.monotonic()
    cases = exercise.all_cases()

    def verdict(outcome: Outcome, case: Case | None = None, *, points: float = 0.0, passed: int = 0, sandbox: str = "", **more):
        failure = Failure(outcome.status, case, list(outcome.results), outcome.details, source or "")
        return Verdict(
            exercise.name, outcome.status, points, exercise.points, outcome.message, case=case.label if case else "",
            rank=outcome.rank, expected=outcome.expected, actual=outcome.actual, details=outcome.details, cost=outcome.cost,
            slip=_slip(exercise, failure), num_passed=passed, num_cases=len(cases), sandbox=sandbox,
            seconds=round(time.monotonic() - start, 3), **more,
        )

    first = _look_at_source(exercise, source)
    if first is not None:
        return verdict(first)
    with contextlib.ExitStack() as stack:
        if zygote is None:
            zygote = stack.enter_context(Zygote())
        sandbox = zygote.sandbox.text
        over = cost = None
        passed, not_run = 0, ""
        # Closed here, not when it is collected: real ranks end with it, whatever stops the judge.
        outcomes = stack.enter_context(contextlib.closing(_outcomes(exercise, source, cases, zygote)))
        for case, outcome in outcomes:
            if case is None:  # no real ranks here
                not_run = f"; real ranks were not used: {outcome}"
                continue
            cost = outcome.cost or cost  # of the largest case
            if outcome.status is Status.OVER_BUDGET:
                over = over or (case, outcome)
            elif outcome.status is not Status.PASSED:
                timeline = _timeline(exercise, source, case, zygote)
                return verdict(outcome, case, passed=passed, sandbox=sandbox, timeline=timeline)
            else:
                passed += 1
            if progress is not None:
                progress(passed, len(cases))
        if over is not None:
            case, outcome = over
            timeline = _timeline(exercise, source, case, zygote)
            return verdict(
                outcome, case, points=exercise.points_over_budget, passed=passed, sandbox=sandbox, timeline=timeline
            )
        well = Outcome(Status.PASSED, f"all {passed} cases pass{not_run}", cost=cost or "")
        return verdict(well, points=exercise.points, passed=passed, sandbox=sandbox)


def _look_at_source(exercise: Exercise, source: str | None) -> Outcome | None:
    """What can be said without running anything: nothing there, unchanged, or no Python."""
    if source is None or not source.strip():
        return Outcome(Status.NOT_ATTEMPTED, f"there is no function {exercise.function!r}: write it, then check again")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        text = (source.splitlines() or [""])[line - 1].strip() if line and line <= source.count("\n") + 1 else ""
        words = getattr(error, "msg", None) or str(error)
        return Outcome(Status.CRASHED, f"SyntaxError: {words}" + (f", line {line}" if line else ""), details=text)
    if _shape(tree) == _shape(ast.parse(exercise.starter)):
        return Outcome(Status.NOT_ATTEMPTED, "this is the text that was given: change it, then check again")
    return None


def _shape(tree: ast.Module) -> str:
    """The program without comments, layout and docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _outcomes(exercise: Exercise, source: str, cases: list[Case], zygote: Zygote):
    """(case, outcome) one after the other; cases of equal numbers of ranks share processes."""
    for (num_ranks, is_real), group in groupby(cases, key=lambda case: (case.num_ranks, case.real)):
        group = list(group)
        if is_real:
            from labkit.grading.remote.real import run_on_real_ranks

            yield from run_on_real_ranks(exercise, source, group, zygote.sandbox, judge_results, _of_failure)
            continue
        with _processes(exercise, source, num_ranks, len(group), zygote) as ranks:
            for case in group:
                yield case, _run(exercise, case, ranks)[0]


def _processes(exercise: Exercise, source: str, num_ranks: int, num_cases: int, zygote: Zygote) -> RankProcesses:
    return RankProcesses(
        zygote, max(1, num_ranks), source, exercise.function, memory_bytes=exercise.memory_bytes,
        cpu_seconds=exercise.time_limit_s * num_cases,
    )


def _run(exercise: Exercise, case: Case, ranks: RankProcesses, *, trace: bool = False) -> tuple[Outcome, Simulation | None]:
    """Run one case."""
    ranks.set_deadline(exercise.time_limit_s)
    simulation = None
    try:
        if case.num_ranks == 0:
            results = [ranks.call(case.arguments[0])]
        else:
            forbidden = frozenset(name.lower() for name in exercise.forbidden)
            simulation, servers = ranks.simulate(
                case.arguments, network=case.network, seed=case.seed, unsafe_sends=case.unsafe_sends, forbidden=forbidden,
                trace=trace,
            )
            error = simulation.error()
            if error is not None:
                return _of_error(exercise, case, error, ranks, servers), simulation
            results = [rank.result for rank in simulation.world.ranks]
    except (AnswerRaised, Closed, Late, WireError) as error:
        return _of_failure(exercise, case, error, ranks, 0), None
    outcome = judge_results(case, results)
    if outcome.status is not Status.PASSED or simulation is None:
        return outcome, simulation
    return _of_traffic(case, simulation, outcome), simulation


def judge_results(case: Case, results: list) -> Outcome:
    """What the ranks have brought against what is expected."""
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
            problem = difference(wanted, actual, case.rtol, case.atol)
            if problem:
                what = "what is returned" if key == RETURN else f"argument {key + 1 + (case.num_ranks > 0)}"
                where = f"on {'real ' if case.real else ''}rank {rank}, " if case.num_ranks else ""
                return Outcome(
                    Status.INCORRECT, f"{where}{what} {problem}", rank=rank if case.num_ranks else None,
                    expected=short(wanted), actual=short(actual), results=results,
                )
    return Outcome(Status.PASSED, results=results)


def _of_error(exercise, case, error, ranks, servers) -> Outcome:
    """A simulation that did not end well."""
    if isinstance(error, CellInterruptedError):  # the Stop button is no fault of the answer
        raise error
    if isinstance(error, DeadlockError):
        words = "the ranks called different collectives" if "collective" in type(error).__name__.lower() else (
            "every rank waits, and nothing can move any more"
        )
        if case.unsafe_sends:
            words += " when sends wait for their receives, as MPI allows"
        return Outcome(Status.DEADLOCKED, f"deadlock: {words}", details=str(error))
    cause = error.__cause__
    if isinstance(error, RankFailedError) and isinstance(cause, (AnswerRaised, ForbiddenCall, Closed, Late, WireError)):
        rank = next(s.rank for s in error.statuses if s.state == "failed")
        return _of_failure(exercise, case, cause, ranks, rank, servers[rank].line)
    return Outcome(Status.CRASHED, _first_line(error), details=str(error))


def _of_failure(exercise, case, error, ranks, rank: int, line: int | None = None) -> Outcome:
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
            names = {-9: "it was killed, perhaps for using too much memory", -24: "it used too much processor time", -11: "segmentation fault", -6: "it aborted, perhaps for lack of memory"}
            return f"its process was ended by signal {-status} ({names.get(status, 'a signal')}) before the function returned"
        if status is not None:
            return f"its process ended with exit status {status} before the function returned"
    return "its process ended before the function returned"


def _of_traffic(case: Case, simulation: Simulation, outcome: Outcome) -> Outcome:
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


def _slip(exercise: Exercise, failure: Failure) -> str:
    """The text of the first known slip that applies."""
    if failure.status in (Status.PASSED, Status.NOT_ATTEMPTED):
        return ""
    for slip in exercise.slips:
        try:
            if slip.applies(failure):
                return slip.text
        except Exception:  # odd values: then it is not this slip
            continue
    return ""


def _timeline(exercise: Exercise, source: str, case: Case, zygote: Zygote) -> dict | None:
    """The timeline of a case that failed, from one more run of it."""
    if case.real or not 0 < case.num_ranks <= MAX_TIMELINE_RANKS:
        return None
    from labkit.trace.chrome import chrome_trace

    try:
        with _processes(exercise, source, case.num_ranks, 1, zygote) as ranks:
            _, simulation = _run(dataclasses.replace(exercise, time_limit_s=min(2.0, exercise.time_limit_s)), case, ranks, trace=True)
            timeline = simulation.timeline() if simulation is not None else None
    except NotAvailableError:
        return None
    if timeline is None or not timeline.spans or len(timeline.spans) > MAX_TIMELINE_SPANS:
        return None
    return chrome_trace(timeline)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
