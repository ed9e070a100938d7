"""Rounds against definitions: what must be where at the end, how many messages, how many rounds."""

import numpy as np
import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collective_calls import num_elements_for, own_size, prepare
from labkit.mpi.collectives.registry import ALGORITHMS, OPERATIONS, family, find
from labkit.mpi.collectives.rounds import NOTHING, collective_rounds

NAMES = [name for name, algorithm in ALGORITHMS.items() if not algorithm.needs_shared_memory]
ROOTED = ("broadcast", "scatter", "gather", "reduce")


def cost_of(rounds):
    n = {"barrier": 0, "scan": 1, "exscan": 1}.get(rounds.operation, rounds.num_chunks)
    return find(rounds.name).cost(rounds.num_ranks, n, 8, **dict(rounds.cost_options))


def assert_complete(rounds, root):
    """The last state by the definition of the operation, written down without the module's own goal."""
    p, end = rounds.num_ranks, rounds.states[-1]
    everybody, ranks = 2**p - 1, range(p)
    per_block = rounds.num_chunks // p if rounds.num_chunks >= p else 1
    match rounds.operation:
        case "barrier":
            assert all(end[r][c] == 1 << c for r in ranks for c in ranks)
        case "broadcast":
            assert all(owner == root for row in end for owner in row)
        case "scatter":
            assert all(end[r][r * per_block + k] == r for r in ranks for k in range(per_block))
        case "gather":
            assert end[root] == tuple(c // per_block for c in range(rounds.num_chunks))
        case "allgather" | "alltoall":
            assert all(row == tuple(c // per_block for c in range(rounds.num_chunks)) for row in end)
        case "reduce":
            assert set(end[root]) == {everybody}
        case "reduce_scatter":
            assert all(end[r][r * per_block + k] == everybody for r in ranks for k in range(per_block))
        case "allreduce":
            assert all(set(row) == {everybody} for row in end)
        case "scan" | "exscan":
            inclusive = rounds.operation == "scan"
            assert all(end[r][c] == ((1 << c) if c < r or (c == r and inclusive) else 0) for r in ranks for c in ranks)
        case _:
            raise AssertionError(rounds.operation)
    assert all(rounds.is_done(rounds.num_rounds, rank) for rank in ranks)


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_ends_with_what_its_operation_promises(name):
    rooted = find(name).operation in ROOTED
    for p in (1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 32):
        for root in {0, p - 1} if rooted else {0}:
            rounds = collective_rounds(name, p, root=root)
            assert_complete(rounds, root)
            assert rounds.num_messages == cost_of(rounds).num_messages
            assert len(rounds.states) == rounds.num_rounds + 1


@pytest.mark.parametrize("name", NAMES)
def test_rounds_are_those_that_the_cost_counts_with_one_message_out_and_one_in(name):
    for p in (*range(1, 17), 24, 29):
        rounds = collective_rounds(name, p)
        assert rounds.num_rounds == cost_of(rounds).num_rounds, p
        for messages in rounds.rounds:
            assert messages, p
            assert len({m.source for m in messages}) == len({m.dest for m in messages}) == len(messages), p


@pytest.mark.parametrize("name", [name for name in NAMES if find(name).operation not in ("alltoall", "scan", "exscan")])
def test_nobody_learns_what_the_sender_did_not_have_before_the_round(name):
    for p in (5, 6, 13):
        rounds = collective_rounds(name, p)
        for number, messages in enumerate(rounds.rounds):
            before, after = rounds.states[number : number + 2]
            sources = {m.dest: m.source for m in messages}
            for rank in range(p):
                theirs = before[sources.get(rank, rank)]
                for had, has, sent in zip(before[rank], after[rank], theirs, strict=True):
                    if rounds.holds == "blocks":
                        assert has in (had, sent)
                    else:
                        assert has & ~(had | sent) == 0


def test_six_ranks_double_in_four_rounds():
    # The lesson's quiz: two rounds among ranks 0, 2, 4 and 5, a round before for 1 and 3, and one after.
    rounds = collective_rounds("allreduce_recursive_doubling", 6, num_chunks=1)
    assert [{(m.source, m.dest) for m in messages} for messages in rounds.rounds] == [
        {(1, 0), (3, 2), (4, 5), (5, 4)}, {(0, 2), (2, 0)}, {(0, 4), (4, 0), (2, 5), (5, 2)}, {(0, 1), (2, 3)},
    ]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_was_there_is_lost_and_bytes_add_up(name):
    rounds = collective_rounds(name, 6)
    assert sum(m.num_chunks for r in rounds.rounds for m in r) * 8 == cost_of(rounds).total_bytes
    for before, after in zip(rounds.states[:-1], rounds.states[1:], strict=True):
        for row_before, row_after in zip(before, after, strict=True):
            if rounds.holds == "blocks":
                assert all(a == b for b, a in zip(row_before, row_after, strict=True) if b != NOTHING)
            else:
                assert all(b & ~a == 0 for b, a in zip(row_before, row_after, strict=True))


def test_the_ring_moves_one_chunk_a_rank_to_the_right():
    rounds = collective_rounds("allreduce_ring", 5)
    for messages in rounds.rounds:
        assert {(m.source, m.dest, m.num_chunks) for m in messages} == {(r, (r + 1) % 5, 1) for r in range(5)}
    counts = [sorted(mask.bit_count() for mask in rounds.states[k][0]) for k in range(5)]
    assert counts[:5] == [[1, 1, 1, 1, 1], [1, 1, 1, 1, 2], [1, 1, 1, 2, 3], [1, 1, 2, 3, 4], [1, 2, 3, 4, 5]]


def test_recursive_doubling_meets_the_rank_at_distance_one_two_four():
    rounds = collective_rounds("allreduce_recursive_doubling", 8, num_chunks=1)
    for k, messages in enumerate(rounds.rounds):
        assert {(m.source, m.dest) for m in messages} == {(r, r ^ (1 << k)) for r in range(8)}
        assert all(state[0].bit_count() == 2 ** (k + 1) for state in rounds.states[k + 1])


def test_a_chain_is_a_pipeline():
    rounds = collective_rounds("broadcast_chain", 4, num_chunks=3)
    assert [[(m.source, m.chunks[0]) for m in messages] for messages in rounds.rounds] == [
        [(0, 0)], [(0, 1), (1, 0)], [(0, 2), (1, 1), (2, 0)], [(1, 2), (2, 1)], [(2, 2)],
    ]


def test_fractions_grow_to_one_where_something_belongs():
    rounds = collective_rounds("reduce_scatter_ring", 4)
    assert [rounds.fraction(k, 2, 2) for k in range(4)] == [0.25, 0.25, 0.25, 1.0]
    assert not rounds.is_done(2, 2) and rounds.is_done(3, 2)
    assert collective_rounds("scan_linear", 4).fraction(3, 0, 3) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("allreduce_shared_memory", 4, {}), "no messages"),
        (("allreduce_ring", 33, {}), "1 to 32"),
        (("allreduce_ring", 0, {}), "1 to 32"),
        (("broadcast_flat", 4, {"root": 4}), "a root among them"),
        (("allgather_ring", 4, {"num_chunks": 6}), "equal blocks"),
        (("no_such", 4, {}), "there is no algorithm"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(arguments, words):
    name, p, options = arguments
    with pytest.raises(UsageError, match=words):
        collective_rounds(name, p, **options)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_prepared_calls_bring_the_results_of_their_operation(operation):
    p, n = 4, num_elements_for(operation, 4, 64)
    inputs = [np.arange(own_size(operation, p, n)) * (rank + 1) for rank in range(p)]
    total = sum(inputs)
    block = n // p
    expected = {
        "barrier": [None] * p,
        "broadcast": [inputs[0]] * p,
        "scatter": [inputs[0][r * block : (r + 1) * block] for r in range(p)],
        "gather": [np.concatenate(inputs), None, None, None],
        "allgather": [np.concatenate(inputs)] * p,
        "reduce": [total, None, None, None],
        "reduce_scatter": [total[r * block : (r + 1) * block] for r in range(p)],
        "allreduce": [total] * p,
        "alltoall": [np.concatenate([x[r * block : (r + 1) * block] for x in inputs]) for r in range(p)],
        "scan": [sum(inputs[: r + 1]) for r in range(p)],
        "exscan": [np.full(n, -1), *(sum(inputs[:r]) for r in range(1, p))],
    }[operation]
    for algorithm in family(operation):
        if algorithm.needs_shared_memory:
            continue

        def program(comm, algorithm=algorithm):
            call, result = prepare(comm, algorithm, inputs[comm.rank].copy())
            call()
            call()  # a second call of the same buffers brings the same
            return result

        for got, wanted in zip(simulate(p, program).results, expected, strict=True):
            assert (got is None) == (wanted is None)
            assert got is None or np.array_equal(got, wanted), algorithm.name
