"""The rules of a server, one event at a time: what a reader must see, who must wait, what staleness is."""

import random

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.training.parameter_server.consistency import Consistency
from labkit.training.parameter_server.shard_server import ShardServer
from labkit.training.parameter_server.shards import roles, shard_bounds

NUM_STEPS = 12


class Marked:
    """Weights that show which gradients they contain: step c of worker w has an element of its own."""

    def __init__(self, num_workers):
        self.weights = np.zeros((NUM_STEPS, num_workers))
        self.calls = []

    def apply(self, gradient, clock, staleness):
        self.weights += gradient
        self.calls.append((clock, staleness))

    def gradient(self, worker, clock):
        one = np.zeros_like(self.weights)
        one[clock, worker] = 1
        return one


def drive(num_workers, rule, seed, lose_at=None):
    """Workers in a random order of events; yields (worker, clock, weights seen, answer) of every read."""
    rng = random.Random(seed)
    marked = Marked(num_workers)
    server = ShardServer(range(num_workers), rule, marked.apply)
    state = dict.fromkeys(range(num_workers), "to pull")
    clock = dict.fromkeys(range(num_workers), 0)
    reads = []

    def note(answers):
        for answer in answers:
            assert state[answer.worker] == "asked"
            state[answer.worker] = "has weights"
            reads.append((answer.worker, clock[answer.worker], marked.weights.copy(), answer, dict(clock)))

    speed = [rng.random() ** 3 + 0.01 for _ in range(num_workers)]
    while state:
        able = [worker for worker in state if state[worker] != "asked"]
        assert able, "everybody waits"
        worker = rng.choices(able, [speed[worker] for worker in able])[0]
        if state[worker] == "to pull":
            state[worker] = "asked"
            note(server.pull(worker))
            continue
        note(server.push(worker, clock[worker], marked.gradient(worker, clock[worker]), 1.0))
        clock[worker] += 1
        state[worker] = "to pull"
        if clock[worker] == NUM_STEPS or (lose_at and lose_at == (worker, clock[worker])):
            del state[worker], clock[worker]
            note(server.lose(worker) if lose_at and lose_at[0] == worker else server.finish(worker))
    server.flush()
    return marked, server, reads


@pytest.mark.parametrize("rule", ["bsp", "ssp,0", "ssp,1", "ssp,3", "async"])
@pytest.mark.parametrize("num_workers", [1, 2, 3, 7])
def test_a_reader_sees_what_the_bound_promises(rule, num_workers):
    bound = Consistency.parse(rule).bound
    furthest = 0
    for seed in range(20):
        marked, server, reads = drive(num_workers, rule, seed)
        assert np.array_equal(marked.weights, np.ones((NUM_STEPS, num_workers)))  # every gradient once
        assert sorted((a.clock, a.worker) for a in server.applied) == [
            (c, w) for c in range(NUM_STEPS) for w in range(num_workers)
        ]
        for worker, clock, seen, answer, clocks in reads:
            assert seen.sum() == answer.version
            assert seen[:clock, worker].all()  # its own steps always
            if bound is not None:
                assert seen[: max(0, clock - bound)].all()
            others = [other for other in clocks if other != worker]
            assert answer.num_missing == sum((seen[:clock, other] == 0).sum() for other in others)
            furthest = max(furthest, answer.num_missing)
        for applied in server.applied:
            if bound is not None:
                assert applied.num_ahead <= bound + 1
    assert (furthest > 0) == (num_workers > 1 and bound != 0)  # the bound is used, so the tests mean something


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_without_a_bound_to_use_steps_are_applied_whole_and_in_order(num_workers):
    for rule in ("bsp", "ssp,0"):
        marked, server, _ = drive(num_workers, rule, seed=3)
        assert marked.calls == [(clock, 0.0) for clock in range(NUM_STEPS)]
        assert [a.worker for a in server.applied] == list(range(num_workers)) * NUM_STEPS
        assert {a.staleness for a in server.applied} == {0}


def test_staleness_counts_the_gradients_of_others_since_the_pull():
    marked = Marked(3)
    server = ShardServer(range(3), "async", marked.apply)
    for worker in range(3):
        server.pull(worker)
    for clock in range(4):  # worker 1 does four steps
        server.push(1, clock, marked.gradient(1, clock), 1.0)
        server.pull(1)
    server.push(0, 0, marked.gradient(0, 0), 1.0)
    server.flush()
    found = {(a.worker, a.clock): a.staleness for a in server.applied}
    assert found == {(1, 0): 0, (1, 1): 0, (1, 2): 0, (1, 3): 0, (0, 0): 4}
    assert marked.calls[-1] == (0, 4.0)


def test_of_a_lost_worker_the_share_goes_to_the_others():
    totals = []
    server = ShardServer(range(4), "bsp", lambda gradient, clock, staleness: totals.append(gradient.tolist()))
    for worker in range(4):
        server.pull(worker)
    for worker in range(3):
        server.push(worker, 0, np.ones(1), 0.25)
    assert [server.pull(worker) for worker in range(3)] == [[], [], []] and server.waiting == (0, 1, 2)
    answers = server.lose(3)  # before it had pushed
    assert [answer.worker for answer in answers] == [0, 1, 2] and totals == [[1.0]]
    for worker in range(3):
        server.push(worker, 1, np.ones(1), 0.25)
    server.lose(2)  # after: this step still counts it
    server.pull(0)
    assert totals == [[1.0], [1.0]]
    server.push(0, 2, np.ones(1), 0.25)
    server.push(1, 2, np.ones(1), 0.25)
    server.flush()
    assert totals == [[1.0]] * 3
    assert server.join(3) == 3 and server.clocks.workers == (0, 1, 3)


@pytest.mark.parametrize("rule", ["bsp", "ssp,2"])
def test_a_lost_worker_stops_nobody(rule):
    for seed in range(10):
        _, server, _ = drive(4, rule, seed, lose_at=(2, 5))
        steps = [sum(a.worker == worker for a in server.applied) for worker in range(4)]
        assert steps == [NUM_STEPS, NUM_STEPS, 5, NUM_STEPS]


def test_repeated_and_missing_pushes():
    totals = []
    server = ShardServer([5], "async", lambda gradient, clock, staleness: totals.append(float(gradient[0])))
    server.pull(5)
    server.push(5, 0, np.array([1.0]), 1.0)
    assert server.push(5, 0, np.array([1.0]), 1.0) == []  # repeated: counted once
    server.flush()
    assert totals == [1.0]
    with pytest.raises(UsageError, match="pushes its step 3, but its step 1 has not come"):
        server.push(5, 3, np.array([1.0]), 1.0)
    with pytest.raises(UsageError, match=r"worker 6 pulls, but the workers are \[5\]"):
        server.pull(6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssp", "ssp takes a bound"), ("ssp,-1", "'-1' in 'ssp,-1'"), ("bsp,2", "write 'ssp,2'"), ("async,1", "'ssp,1'"),
        ("hogwild", "one of bsp, ssp, async"), ("ssp,x", "'x'"), ("", "one of bsp"),
    ],
)
def test_a_rule_that_is_none(text, words):
    with pytest.raises(UsageError) as raised:
        Consistency.parse(text)
    assert words in str(raised.value)


def test_rules_are_read_and_written():
    for text in ("bsp", "ssp,0", "ssp,17", "async"):
        assert str(Consistency.parse(text)) == text and Consistency.parse(Consistency.parse(text)) == Consistency.parse(text)
    assert Consistency.parse("bsp").bound == Consistency.parse("ssp,0").bound == 0


def test_blocks_of_weights_and_roles_of_ranks():
    for num_elements in (1, 7, 100, 101):
        for num_servers in range(1, min(num_elements, 9) + 1):
            bounds = shard_bounds(num_elements, num_servers)
            assert [i for start, stop in bounds for i in range(start, stop)] == list(range(num_elements))
            sizes = [stop - start for start, stop in bounds]
            assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)
    assert roles(3, 2) == ((0, 1), (2,))
    for call in (lambda: shard_bounds(2, 3), lambda: shard_bounds(2, 0), lambda: roles(2, 2), lambda: roles(1, 0)):
        with pytest.raises(UsageError):
            call()
