"""Who can never go on: reading the reports of waiting ranks.

A rank that computes may do anything next, so it can still move. A waiting rank can move if what it
waits for is already under way, or if a rank that it waits for can still move. Ranks for which
neither holds are stuck: this is the usual fixed point, for "all of" waits (a receive from a named
rank, ``Waitall``, a collective) and "any of" waits (a wildcard, ``Waitany``) alike.

Pure functions of values; the caller sees to it that the reports are fresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from labkit.comm.waits import (
    CollectiveLog,
    Operation,
    RankStatus,
    WaitEdge,
    WaitGraph,
    WaitReport,
)


def find_stuck(
    states: Sequence[RankStatus | WaitReport],
    logs: Mapping[int, Mapping[str, CollectiveLog]] | None = None,
    *,
    at_rest: bool = False,
) -> WaitGraph:
    """The wait-for graph of the ranks, with those that can never go on.

    Parameters
    ----------
    states : sequence of RankStatus or WaitReport
        One a rank, in rank order: a report for a waiting rank, a status for any other.
    logs : mapping of int to mapping of str to CollectiveLog, optional
        By rank: the collective calls of ranks that do not wait (of those that do, the report has them).
    at_rest : bool
        It is known that nothing is under way: every waiting rank is stuck, also one whose partner seems to be there
        (of a send and a receive that name each other, the message may have been taken by a matched probe).

    Returns
    -------
    WaitGraph
        ``stuck`` is () when every waiting rank can still go on.

    Examples
    --------
    >>> receive = Operation("recv", "Recv(source=1, tag=7)", "comm", peers=(1,), tag=7)
    >>> waiting = WaitReport(0, 1, receive.text, (receive,), line=3)
    >>> find_stuck([waiting, RankStatus(1, "finished", "has finished")]).stuck
    (0,)
    >>> find_stuck([waiting, RankStatus(1, "computing", "computes")]).stuck
    ()
    """
    reports = {state.rank: state for state in states if isinstance(state, WaitReport)}
    known_logs = {**(logs or {}), **{rank: report.collectives for rank, report in reports.items()}}
    movable = {state.rank for state in states if getattr(state, "state", "") == "computing"}

    def can_complete(report: WaitReport, operation: Operation) -> bool:
        if operation.kind == "window":
            return True  # a lock's owner is not known here: never call it a deadlock
        if operation.kind == "collective":
            missing = missing_members(report.rank, operation, known_logs)
            if missing:
                return missing <= movable
            return not mismatching_members(report.rank, operation, known_logs)
        if any(peer in movable for peer in operation.peers):
            return True
        return any(
            is_match(report.rank, operation, peer, other)
            for peer in operation.peers
            if peer in reports
            for other in reports[peer].operations + reports[peer].posted
        )

    while not at_rest:
        freed = set()
        for rank, report in reports.items():
            if rank not in movable:
                quantifier = any if report.need == "any" else all
                if quantifier(can_complete(report, operation) for operation in report.operations):
                    freed.add(rank)
        if not freed:
            break
        movable |= freed

    stuck = tuple(sorted(set(reports) - movable))
    edges = tuple(
        WaitEdge(rank, awaited, operation.text)
        for rank, report in sorted(reports.items())
        for operation in report.operations
        for awaited in awaited_ranks(rank, operation, known_logs)
    )
    statuses = tuple(
        RankStatus(state.rank, "waiting", state.text, state.line)
        if isinstance(state, WaitReport)
        else state
        for state in states
    )
    return WaitGraph(statuses, edges, stuck, find_cycle(edges, stuck))


def is_match(rank: int, operation: Operation, peer: int, other: Operation) -> bool:
    """Whether ``other``, of rank ``peer``, is the other end of ``operation`` of ``rank``."""
    send, sender, receive, receiver = operation, rank, other, peer
    if operation.kind != "send":
        send, sender, receive, receiver = other, peer, operation, rank
    return (
        send.kind == "send"
        and receive.kind in ("recv", "probe")
        and send.context == receive.context
        and receiver in send.peers
        and sender in receive.peers
        and receive.tag in (None, send.tag)
    )


def missing_members(
    rank: int, operation: Operation, logs: Mapping[int, Mapping[str, CollectiveLog]]
) -> set[int]:
    """Members that are not known to have made as many collective calls as ``rank`` waits in."""
    return {
        member
        for member in operation.peers
        if member != rank
        and (
            (log := logs.get(member, {}).get(operation.context)) is None
            or log.count <= operation.sequence
        )
    }


def mismatching_members(
    rank: int, operation: Operation, logs: Mapping[int, Mapping[str, CollectiveLog]]
) -> set[int]:
    """Members whose collective call at the same place is a different one."""
    mine = logs[rank][operation.context].call(operation.sequence)
    theirs = {
        member: log.call(operation.sequence)
        for member in operation.peers
        if (log := logs.get(member, {}).get(operation.context)) is not None
    }
    return {
        member for member, call in theirs.items() if call and mine and not call.matches(mine)
    }


def awaited_ranks(
    rank: int, operation: Operation, logs: Mapping[int, Mapping[str, CollectiveLog]]
) -> tuple[int, ...]:
    """The ranks that an operation of ``rank`` waits for."""
    if operation.kind != "collective":
        return tuple(peer for peer in operation.peers if peer != rank or len(operation.peers) == 1)
    missing = missing_members(rank, operation, logs)
    return tuple(sorted(missing or mismatching_members(rank, operation, logs)))


def find_cycle(edges: Iterable[WaitEdge], stuck: Sequence[int]) -> tuple[int, ...]:
    """A shortest cycle among the stuck ranks, starting at its smallest rank; () if there is none.

    Examples
    --------
    >>> find_cycle([WaitEdge(0, 2, ""), WaitEdge(2, 1, ""), WaitEdge(1, 0, "")], (0, 1, 2))
    (0, 2, 1)
    """
    awaited: dict[int, list[int]] = {rank: [] for rank in stuck}
    for edge in edges:
        if edge.waiter in awaited and edge.awaited in awaited:
            awaited[edge.waiter].append(edge.awaited)
    best: tuple[int, ...] = ()
    for start in stuck:
        parents, queue = {start: None}, [start]
        for rank in queue:  # breadth first: the list grows while it is read
            if start in awaited[rank]:
                path = [rank]
                while parents[path[-1]] is not None:
                    path.append(parents[path[-1]])
                if not best or len(path) < len(best):
                    best = tuple(reversed(path))
                break
            for following in awaited[rank]:
                if following not in parents:
                    parents[following] = rank
                    queue.append(following)
    return best


def find_mismatch(logs: Mapping[int, Mapping[str, CollectiveLog]]) -> str:
    """The first place where members of a communicator made different collective calls, in words.

    Returns "" if all calls match. A member that made fewer calls counts as different only if the
    others have called something it never did.
    """
    contexts = sorted({context for by_context in logs.values() for context in by_context})
    for context in contexts:
        by_rank = {rank: log[context] for rank, log in logs.items() if context in log}
        members = next(iter(by_rank.values())).members
        counts = [by_rank[m].count if m in by_rank else 0 for m in members]
        first = max(log.count - len(log.recent) for log in by_rank.values())
        for index in range(first, max(counts)):
            calls = {m: by_rank[m].call(index) if m in by_rank else None for m in members}
            made = {m: call for m, call in calls.items() if call is not None}
            reference = next(iter(made.values()))
            if len(made) < len(members) or not all(c.matches(reference) for c in made.values()):
                return _mismatch_text(context, index, calls)
    return ""


def _mismatch_text(context: str, index: int, calls: Mapping) -> str:
    groups: dict[str, list[int]] = {}
    for rank, call in calls.items():
        if call is None:
            words = "called nothing"
        else:
            words = f"called {call}" + (f", line {call.line}" if call.line else "")
        groups.setdefault(words, []).append(rank)
    made_by = context.rsplit("/", 1)[-1].split("#")[0].split("@")[0]
    where = "" if "/" not in context else f" on a communicator made by {made_by}"
    return f"collective call number {index + 1}{where}: " + "; ".join(
        f"{ranks_text(ranks)} {words}" for words, ranks in groups.items()
    )


def ranks_text(ranks: Iterable[int]) -> str:
    """Ranks in words.

    Examples
    --------
    >>> ranks_text([2]), ranks_text([0, 1]), ranks_text([0, 1, 2, 3, 7])
    ('rank 2', 'ranks 0 and 1', 'ranks 0-3 and 7')
    """
    ranks = sorted(ranks)
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and runs[-1][-1] == rank - 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(rank) for rank in run]
    words = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"rank{'s' if len(ranks) > 1 else ''} {words}"
