"""A deadlock in words: what each rank waits for, the cycle, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from labkit.comm.deadlock import ranks_text
from labkit.comm.waits import CollectiveLog, RankStatus, WaitGraph, WaitReport

MAX_LINES = 12


def group_statuses(statuses: Sequence[RankStatus]) -> list[tuple[tuple[int, ...], RankStatus]]:
    """Equal statuses once, with all their ranks, in order of the first rank."""
    groups: dict[tuple[str, str], list[RankStatus]] = {}
    for status in statuses:
        groups.setdefault((status.state, status.text), []).append(status)
    return [(tuple(s.rank for s in group), group[0]) for group in groups.values()]


def statuses_text(statuses: Sequence[RankStatus], indent: str = "  ") -> str:
    """A line for each group of ranks that do the same."""
    groups = group_statuses(statuses)
    lines = []
    for ranks, status in groups[:MAX_LINES]:
        lines.append(f"{indent}{ranks_text(ranks)} {_plural(status.text, len(ranks))}")
    if len(groups) > MAX_LINES:
        lines.append(f"{indent}and {len(groups) - MAX_LINES} more")
    return "\n".join(lines)


def _plural(text: str, num_ranks: int) -> str:
    if num_ranks == 1:
        return text
    verbs = {"waits": "wait", "has": "have", "computes": "compute", "takes": "take"}
    first = re.match(r"\w+", text)[0]
    return verbs.get(first, first) + text.removeprefix(first)


def verdict_text(graph: WaitGraph, reports: Mapping[int, WaitReport]) -> str:
    """The verdict of a deadlock: who waits for what, the cycle if there is one, and the advice."""
    waiting = [s for s in graph.statuses if s.rank in graph.stuck]
    others = [s for s in graph.statuses if s.rank not in graph.stuck]
    sentence = "; ".join(
        f"{ranks_text(ranks)} {_plural(status.text, len(ranks))}"
        for ranks, status in group_statuses(waiting)[:MAX_LINES]
    )
    if graph.cycle:
        ranks = [*map(str, graph.cycle), str(graph.cycle[0])]
        sentence += ": a cycle " + " -> ".join(
            ranks if len(ranks) <= 17 else [*ranks[:8], "...", *ranks[-2:]]
        )
    lines = [f"{sentence}."]
    if others:
        lines += ["Meanwhile:", statuses_text(others)]
    sources = {
        (report.line, report.source): None for report in reports.values() if report.source
    }
    if sources:
        lines += [f"  line {line:>3}: {source}" for line, source in list(sources)[:4]]
    lines += [f"Next step: {line}" for line in advice(graph, reports)]
    return "\n".join(lines)


def advice(graph: WaitGraph, reports: Mapping[int, WaitReport]) -> list[str]:
    """What probably went wrong and what to change, most specific first; at most two sentences."""
    stuck = {rank: reports[rank] for rank in graph.stuck}
    found = [
        sentence
        for explain in EXPLANATIONS
        if (sentence := explain(graph, stuck, reports))
    ]
    return found[:2] or _finished_partner(graph, stuck)


def _other_tag(graph, stuck, reports) -> str:
    for rank, report in stuck.items():
        for operation in report.operations:
            for message in report.unreceived:
                if (
                    operation.kind in ("recv", "probe")
                    and message.context == operation.context
                    and message.source in operation.peers
                    and operation.tag not in (None, message.tag)
                ):
                    return (
                        f"a message of {message.num_bytes} bytes from rank {message.source} with tag "
                        f"{message.tag} has arrived at rank {rank}, which asks for tag "
                        f"{operation.tag}: use the same tag on both sides."
                    )
            if operation.kind == "send":
                for peer in operation.peers:
                    for other in reports[peer].operations if peer in reports else ():
                        if (
                            other.kind in ("recv", "probe")
                            and rank in other.peers
                            and other.tag not in (None, operation.tag)
                            and other.context == operation.context
                        ):
                            return (
                                f"rank {rank} sends with tag {operation.tag} and rank {peer} asks "
                                f"for tag {other.tag}: use the same tag on both sides."
                            )
    return ""


def _other_source(graph, stuck, reports) -> str:
    for rank, report in stuck.items():
        for operation in report.operations:
            for message in report.unreceived:
                if (
                    operation.kind in ("recv", "probe")
                    and message.context == operation.context
                    and message.source not in operation.peers
                    and len(operation.peers) == 1
                ):
                    return (
                        f"a message from rank {message.source} (tag {message.tag}, "
                        f"{message.num_bytes} bytes) has arrived at rank {rank}, which asks for one "
                        f"from rank {operation.peers[0]}: check the source."
                    )
    return ""


def _skipped_collective(graph, stuck, reports) -> str:
    ended = {s.rank: s for s in graph.statuses if s.state in ("finished", "failed", "absent")}
    for rank, report in stuck.items():
        for operation in report.operations:
            if operation.kind == "collective":
                never = sorted(e.awaited for e in graph.edges if e.waiter == rank and e.awaited in ended)
                if never:
                    verb = "do not take part in this cell" if all(
                        ended[r].state == "absent" for r in never
                    ) else "ended without it"
                    return (
                        f"{operation.text} is a collective: every member must call it, and "
                        f"{ranks_text(never)} {verb}."
                    )
                busy = sorted(
                    e.awaited for e in graph.edges
                    if e.waiter == rank and e.awaited in stuck and stuck[e.awaited].operations
                    and stuck[e.awaited].operations[0].text != operation.text
                )
                if busy:
                    other = stuck[busy[0]].operations[0].text
                    return (
                        f"rank {rank} is in {operation.text} while {ranks_text(busy)} "
                        f"{'are' if len(busy) > 1 else 'is'} in {other}: all members must call the "
                        f"same collectives in the same order."
                    )
    return ""


def _unsafe_sends(graph, stuck, reports) -> str:
    members = graph.cycle or graph.stuck
    if len(members) > 1 and all(
        stuck[rank].operations and all(op.kind == "send" for op in stuck[rank].operations)
        for rank in members
    ):
        return (
            "every rank of the cycle sends first, and a large send waits for its receive: use "
            "Sendrecv, or let one of them receive first, or use Isend and wait later."
        )
    return ""


def _waits_for_itself(graph, stuck, reports) -> str:
    if len(graph.cycle) == 1:
        rank = graph.cycle[0]
        own = {operation.kind for operation in stuck[rank].operations if rank in operation.peers}
        verb = {("send",): "receive", ("recv", "send"): "start anything else"}.get(tuple(sorted(own)), "send")
        return (
            f"rank {rank} waits for itself, and while it waits it cannot {verb}: check the rank in "
            f"{stuck[rank].call}."
        )
    return ""


def _message_to_itself(graph, stuck, reports) -> str:
    if len(graph.cycle) == 1:
        rank = graph.cycle[0]
        return (
            f"if rank {rank} is meant to pass something to itself, use Sendrecv, or start with Isend or Irecv and "
            f"wait after both calls; or do without a message and copy it."
        )
    return ""


def _all_receive(graph, stuck, reports) -> str:
    if len(graph.cycle) > 1 and all(
        stuck[rank].operations and all(op.kind in ("recv", "probe") for op in stuck[rank].operations)
        for rank in graph.cycle
    ):
        return (
            "every rank of the cycle receives first, so nobody sends: let one of them send first, "
            "or use Sendrecv."
        )
    return ""


EXPLANATIONS = (
    _other_tag, _other_source, _skipped_collective, _waits_for_itself, _message_to_itself, _unsafe_sends, _all_receive,
)


def _finished_partner(graph, stuck) -> list[str]:
    ended = {s.rank: s for s in graph.statuses if s.state in ("finished", "failed", "absent", "died")}
    for rank, report in stuck.items():
        for operation in report.operations:
            partners = [peer for peer in operation.peers if peer in ended]
            if partners and operation.kind != "collective":
                missing = "receive" if operation.kind == "send" else "send"
                if all(ended[p].state == "absent" for p in partners):
                    return [f"{ranks_text(partners)} do not take part in this cell: see --ranks."]
                return [
                    f"{operation.text} of rank {rank} needs a {missing} by {ranks_text(partners)}, "
                    f"which ended without it."
                ]
    return []


def statuses_of(
    states: Sequence[RankStatus | WaitReport],
) -> tuple[RankStatus, ...]:
    """States as plain statuses, in rank order."""
    return tuple(
        RankStatus(s.rank, "waiting", s.text, s.line) if isinstance(s, WaitReport) else s
        for s in states
    )


def logs_of(
    states: Sequence[RankStatus | WaitReport], logs: Mapping[int, Mapping[str, CollectiveLog]]
) -> dict[int, Mapping[str, CollectiveLog]]:
    """The collective calls of every rank: of waiting ranks from their report, else from ``logs``."""
    return {**logs, **{s.rank: s.collectives for s in states if isinstance(s, WaitReport)}}
