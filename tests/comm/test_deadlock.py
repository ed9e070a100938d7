"""Who is stuck: against a brute-force definition, and on the classic patterns."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.comm.deadlock import find_cycle, find_mismatch, find_stuck, ranks_text
from labkit.comm.verdict import verdict_text
from labkit.comm.waits import (
    CollectiveCall,
    CollectiveLog,
    Operation,
    RankStatus,
    Unreceived,
    WaitEdge,
    WaitReport,
)


def receive(source, tag=0, context="comm"):
    sources = source if isinstance(source, tuple) else (source,)
    return Operation("recv", f"Recv(source={source}, tag={tag})", context, sources, tag)


def send(dest, tag=0, context="comm", num_bytes=8):
    return Operation("send", f"Send(dest={dest}, tag={tag})", context, (dest,), tag, num_bytes)


def collective(name, members, sequence=0, context="comm"):
    return Operation("collective", f"{name}()", context, tuple(members), sequence=sequence)


def waiting(rank, *operations, need="all", **more):
    call = operations[0].text if operations else "Waitall()"
    return WaitReport(rank, 1, call, operations, need, **more)


def computing(rank):
    return RankStatus(rank, "computing", "computes")


def finished(rank):
    return RankStatus(rank, "finished", "has finished")


def logged(members, *names, root=None):
    calls = tuple(CollectiveCall(name, root, 2) for name in names)
    return {"comm": CollectiveLog(tuple(members), len(calls), calls)}


def brute_force_stuck(states):
    """The union of all sets of waiting ranks none of which can go on if only the others act."""
    reports = {s.rank: s for s in states if isinstance(s, WaitReport)}
    computing_ranks = {s.rank for s in states if getattr(s, "state", "") == "computing"}

    def completes(rank, operation, actors):
        for peer in operation.peers:
            if peer in actors:
                return True
            if peer in reports:
                for other in reports[peer].operations + reports[peer].posted:
                    pair = (operation, other) if operation.kind == "send" else (other, operation)
                    ends = (rank, peer) if operation.kind == "send" else (peer, rank)
                    sender, receiver = pair
                    if (
                        sender.kind == "send"
                        and receiver.kind == "recv"
                        and ends[1] in sender.peers
                        and ends[0] in receiver.peers
                        and receiver.tag in (None, sender.tag)
                        and sender.context == receiver.context
                    ):
                        return True
        return False

    stuck = set()
    for size in range(1, len(reports) + 1):
        for group in combinations(reports, size):
            actors = computing_ranks | (set(reports) - set(group))
            if not any(
                (any if reports[r].need == "any" else all)(
                    completes(r, op, actors) for op in reports[r].operations
                )
                for r in group
            ):
                stuck |= set(group)
    return tuple(sorted(stuck))


@st.composite
def systems(draw):
    size = draw(st.integers(1, 5))
    peer = st.integers(0, size - 1)
    tag = st.integers(0, 1)
    operation = st.one_of(
        st.builds(lambda p, t: receive(p, t), peer, tag),
        st.builds(lambda ps, t: receive(tuple(sorted(ps)), t), st.sets(peer, min_size=1), tag),
        st.builds(lambda p: Operation("recv", "Recv()", "comm", (p,), None), peer),
        st.builds(lambda p, t: send(p, t), peer, tag),
    )
    states = []
    for rank in range(size):
        kind = draw(st.sampled_from(["waiting"] * 4 + ["computing", "finished"]))
        if kind == "waiting":
            operations = draw(st.lists(operation, min_size=1, max_size=2))
            posted = tuple(draw(st.lists(operation, max_size=1)))
            need = draw(st.sampled_from(["all", "any"]))
            states.append(waiting(rank, *operations, need=need, posted=posted))
        else:
            states.append(RankStatus(rank, kind, kind))
    return states


@settings(max_examples=400, deadline=None)
@given(systems())
def test_stuck_ranks_equal_the_brute_force_definition(states):
    assert find_stuck(states).stuck == brute_force_stuck(states)


@pytest.mark.parametrize("size", [2, 3, 5, 64])
def test_a_ring_of_receives_is_a_cycle(size):
    states = [waiting(r, receive((r + 1) % size)) for r in range(size)]
    graph = find_stuck(states)
    assert graph.stuck == tuple(range(size))
    assert graph.cycle == tuple(range(size))


def test_a_receive_from_a_computing_rank_is_no_deadlock():
    states = [waiting(0, receive(1)), computing(1), waiting(2, receive(0))]
    assert find_stuck(states).stuck == ()


def test_a_matching_pair_in_transfer_is_no_deadlock():
    states = [waiting(0, send(1, 3)), waiting(1, receive(0, 3))]
    assert find_stuck(states).stuck == ()


@pytest.mark.parametrize(
    ("sent", "asked"),
    [(send(1, 3), receive(0, 4)), (send(1, 3), receive(0, 3, "comm/Dup#0@0")), (send(2, 3), receive(0, 3))],
    ids=["tag", "communicator", "destination"],
)
def test_a_pair_that_does_not_match_is_stuck(sent, asked):
    states = [waiting(0, sent), waiting(1, asked), finished(2)]
    assert find_stuck(states).stuck == (0, 1)


def test_a_posted_receive_frees_a_waiting_sender():
    posted = (receive(0, 5),)
    states = [waiting(0, send(1, 5)), waiting(1, receive(0, 6), posted=posted)]
    assert find_stuck(states).stuck == ()  # the send completes, then rank 0 may send tag 6


def test_waitany_needs_one_and_waitall_needs_all():
    operations = (receive(1), receive(2))
    one_dead = [computing(1), finished(2)]
    assert find_stuck([waiting(0, *operations, need="any"), *one_dead]).stuck == ()
    assert find_stuck([waiting(0, *operations, need="all"), *one_dead]).stuck == (0,)


def test_a_collective_waits_for_the_members_that_have_not_arrived():
    members = range(3)
    barrier = collective("Barrier", members)
    arrived = [waiting(r, barrier, collectives=logged(members, "Barrier")) for r in (0, 1)]
    assert find_stuck([*arrived, computing(2)]).stuck == ()
    graph = find_stuck([*arrived, finished(2)], {2: {}})
    assert graph.stuck == (0, 1)
    assert {(e.waiter, e.awaited) for e in graph.edges} == {(0, 2), (1, 2)}
    # A root that has left early has arrived: the broadcast is under way.
    assert find_stuck([*arrived, finished(2)], {2: logged(members, "Barrier")}).stuck == ()


def test_different_collectives_at_the_same_place_are_stuck():
    members = range(2)
    states = [
        waiting(0, collective("Bcast", members), collectives=logged(members, "Bcast", root=0)),
        waiting(1, collective("Allreduce", members), collectives=logged(members, "Allreduce")),
    ]
    assert find_stuck(states).stuck == (0, 1)
    text = find_mismatch({s.rank: s.collectives for s in states})
    assert "rank 0 called Bcast(root=0), line 2" in text
    assert "rank 1 called Allreduce(), line 2" in text


def test_mismatch_is_the_first_one_also_in_long_logs():
    members = (0, 1)
    calls = tuple(CollectiveCall("Barrier", None, 3) for _ in range(10))
    odd = (*calls[:6], CollectiveCall("Bcast", 1, 9), *calls[7:])
    whole = {0: {"comm": CollectiveLog(members, 10, calls)}, 1: {"comm": CollectiveLog(members, 10, odd)}}
    assert find_mismatch(whole).startswith("collective call number 7:")
    tails = {r: {"comm": CollectiveLog(members, 10, log["comm"].recent[-4:])} for r, log in whole.items()}
    assert find_mismatch(tails).startswith("collective call number 7:")
    assert find_mismatch({0: whole[0], 1: whole[0]}) == ""


def test_a_call_that_others_never_made_is_a_mismatch():
    logs = {0: logged((0, 1), "Barrier", "Bcast"), 1: logged((0, 1), "Barrier")}
    assert "collective call number 2: rank 0 called Bcast()" in find_mismatch(logs)
    assert "rank 1 called nothing" in find_mismatch(logs)
    assert find_mismatch({0: {}, 1: {}}) == ""


def test_shortest_cycle_is_found_among_longer_ones():
    edges = [WaitEdge(0, 1, ""), WaitEdge(1, 2, ""), WaitEdge(2, 0, ""), WaitEdge(2, 1, "")]
    assert find_cycle(edges, (0, 1, 2)) == (1, 2)
    assert find_cycle(edges[:2], (0, 1, 2)) == ()


def test_verdict_names_rank_call_line_and_cycle():
    reports = {
        0: waiting(0, receive(1, 7), line=3, source="comm.Recv(b, 1, 7)"),
        1: waiting(1, receive(0, 7), line=3, source="comm.Recv(b, 0, 7)"),
    }
    text = verdict_text(find_stuck(list(reports.values())), reports)
    assert text.startswith(
        "rank 0 waits in Recv(source=1, tag=7), line 3; rank 1 waits in Recv(source=0, tag=7), "
        "line 3: a cycle 0 -> 1 -> 0."
    )
    assert "Sendrecv" in text


def test_verdict_explains_a_wrong_tag():
    report = waiting(1, receive(0, 7), line=4, unreceived=(Unreceived("comm", 0, 8, 32),))
    text = verdict_text(find_stuck([finished(0), report]), {1: report})
    assert "32 bytes from rank 0 with tag 8 has arrived at rank 1, which asks for tag 7" in text


@pytest.mark.parametrize(
    ("operation", "words"),
    [(receive(0, 3), "cannot send: check the rank in Recv(source=0, tag=3)"),
     (send(0, 3), "cannot receive: check the rank in Send(dest=0, tag=3)")],
)
def test_a_rank_that_waits_for_itself_is_told_how_to_pass_something_to_itself(operation, words):
    states = [waiting(0, operation), finished(1)]
    graph = find_stuck(states)
    assert graph.cycle == (0,)
    text = verdict_text(graph, {0: states[0]})
    first, second = [line for line in text.splitlines() if line.startswith("Next step: ")]
    assert first.startswith("Next step: rank 0 waits for itself, and while it waits it ") and words in first
    assert "pass something to itself, use Sendrecv" in second
    assert "one of them" not in text and "every rank" not in text


def test_verdict_of_many_equal_ranks_is_short():
    members = range(64)
    reports = {
        r: waiting(r, collective("Barrier", members), collectives=logged(members, "Barrier"), line=2)
        for r in range(1, 64)
    }
    text = verdict_text(find_stuck([finished(0), *reports.values()], {0: {}}), reports)
    assert text.startswith("ranks 1-63 wait in Barrier(), line 2.")
    assert len(text.splitlines()) < 8


@pytest.mark.parametrize(
    ("ranks", "words"),
    [([3], "rank 3"), ([1, 2], "ranks 1 and 2"), ([5, 1, 2, 3], "ranks 1-3 and 5"), ([0, 2, 4], "ranks 0, 2 and 4")],
)
def test_ranks_in_words(ranks, words):
    assert ranks_text(ranks) == words
