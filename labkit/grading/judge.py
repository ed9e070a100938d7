"""Judging an answer: run it on every case, and say what came of it."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable
from itertools import groupby

from labkit.comm.simulated.run import Simulation
from labkit.errors import NotAvailableError
from labkit.grading.case_outcomes import (
    Outcome,
    judge_results,
    of_error,
    of_failure,
    of_passes,
    of_traffic,
    with_computed_time,
    with_histogram,
)
from labkit.grading.exercise import REAL, Case, Exercise, Failure, process_group
from labkit.grading.outcomes import Status, Verdict
from labkit.grading.remote.ranks import RankProcesses
from labkit.grading.remote.sandboxed import Zygote
from labkit.grading.remote.server import AnswerRaised
from labkit.grading.remote.wire import Closed, Late, WireError
from labkit.grading.threads import judge_team

MAX_COST_RANKS = 8
MAX_TIMELINE_RANKS = 16
MAX_TIMELINE_SPANS = 3000


def judge(
    exercise: Exercise, source: str | None, *, zygote: Zygote | None = None,
    progress: Callable[[int, int], None] | None = None, timeline: bool = True,
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
    timeline : bool
        Whether the verdict brings the timeline of a case that fails, which takes one more run of it.

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
        failure = Failure(outcome.status, case, list(outcome.results), outcome.message, outcome.details, source or "")
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
            if outcome.cost and case.num_ranks <= MAX_COST_RANKS:  # those that a student can follow
                cost = outcome.cost
            if outcome.status is Status.OVER_BUDGET:
                over = over or (case, outcome)
            elif outcome.status is not Status.PASSED:
                shown = _timeline(exercise, source, case, zygote) if timeline else None
                return verdict(outcome, case, passed=passed, sandbox=sandbox, timeline=shown)
            else:
                passed += 1
            if progress is not None:
                progress(passed, len(cases))
        if over is not None:
            case, outcome = over
            shown = _timeline(exercise, source, case, zygote) if timeline else None
            return verdict(
                outcome, case, points=exercise.points_over_budget, passed=passed, sandbox=sandbox, timeline=shown
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
    """(case, outcome) one after the other; the processes of simulated ranks serve one group after the other."""
    groups = [(number, list(group)) for number, group in groupby(cases, key=process_group)]
    num_cases = sum(len(group) for number, group in groups if number != REAL)
    with contextlib.ExitStack() as stack:
        ranks = None
        for at, (number, group) in enumerate(groups):
            if number == REAL:
                yield from _on_real_ranks(exercise, source, group, zygote)
                continue
            if ranks is None:
                ranks = stack.enter_context(_processes(exercise, source, number, num_cases, zygote))
            else:
                ranks.use(max(1, number))
            following = [number for number, _ in groups[at + 1 :] if number != REAL]
            if following:
                ranks.start(following[0])  # while this group runs
            for case in group:
                yield case, _run(exercise, case, ranks)[0]
            if not following:
                stack.close()


def _on_real_ranks(exercise: Exercise, source: str, group: list[Case], zygote: Zygote):
    """(case, outcome) of the cases for real ranks."""
    from labkit.grading.remote.real import run_on_real_ranks

    judged = functools.partial(judge_results, parameters=parameters_of(source, exercise.function))
    yield from run_on_real_ranks(exercise, source, group, zygote, judged, of_failure)


@functools.lru_cache(maxsize=8)
def parameters_of(source: str, function: str) -> tuple[str, ...]:
    """Names of the parameters of a function, as its last definition says."""
    found = ()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            found = tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args))
    return found


def _processes(exercise: Exercise, source: str, num_ranks: int, num_cases: int, zygote: Zygote) -> RankProcesses:
    return RankProcesses(
        zygote, max(1, num_ranks), source, exercise.function, memory_bytes=exercise.memory_bytes,
        cpu_seconds=exercise.time_limit_s * num_cases, has_team=any(case.team is not None for case in exercise.cases()),
    )


def _run(exercise: Exercise, case: Case, ranks: RankProcesses, *, trace: bool = False) -> tuple[Outcome, Simulation | None]:
    """Run one case."""
    ranks.set_deadline(exercise.time_limit_s)
    parameters = parameters_of(ranks.source, exercise.function)
    simulation = None
    try:
        if case.team is not None:
            return judge_team(case, ranks.call(case.arguments[0], team=case.team.for_wire()), parameters), None
        if case.num_ranks == 0:
            counted = case.budget is not None and case.budget.num_passes is not None
            repeated = [ranks.call(case.arguments[0], counted=counted) for _ in range(case.repeats)]
            outcomes = [judge_results(case, [result], parameters) for result in repeated]
            wrong = [outcome for outcome in outcomes if outcome.status is not Status.PASSED]
            if wrong:
                return with_histogram(wrong[0], repeated, len(wrong)), None
            return (of_passes(case, repeated, outcomes[0]) if counted else outcomes[0]), None
        else:
            forbidden = frozenset(name.lower() for name in exercise.forbidden)
            simulation, servers = ranks.simulate(
                case.arguments, network=case.network, seed=case.seed, unsafe_sends=case.unsafe_sends, forbidden=forbidden,
                trace=trace,
            )
            error = simulation.error()
            if error is not None:
                return of_error(exercise, case, error, ranks, servers), simulation
            results = [with_computed_time(rank.result, rank) for rank in simulation.world.ranks]
    except (AnswerRaised, Closed, Late, WireError) as error:
        return of_failure(exercise, case, error, ranks, 0), None
    outcome = judge_results(case, results, parameters)
    if outcome.status is not Status.PASSED or simulation is None:
        return outcome, simulation
    return of_traffic(case, simulation, outcome), simulation


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
