"""Which message goes to which receive, whatever the delays; and what may wait for what."""

import collections
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI

from labkit.comm.network.model import LinkCost, alpha_beta, loggp
from labkit.comm.network.topologies import FatTree, Ring, Torus
from labkit.comm.simulated.races import find_races
from labkit.comm.simulated.run import simulate
from labkit.errors import DeadlockError, RankFailedError, UsageError

NETWORKS = (
    alpha_beta(1e-6, 1e-9), alpha_beta(1e-6, 1e-9, eager_limit_bytes=0), alpha_beta(1e-6, 1e-9, eager_limit_bytes=100),
    loggp(1e-6, 1e-7, 1e-6, 1e-9, eager_limit_bytes=100), alpha_beta(1e-6, 1e-9, topology=Ring(), hop_s=1e-6, eager_limit_bytes=100),
    alpha_beta(1e-6, 1e-9, topology=Torus(), hop_s=1e-6), alpha_beta(1e-6, 1e-9, topology=FatTree(2, 2), hop_s=1e-6, eager_limit_bytes=8),
    alpha_beta(1e-6, 1e-9, ranks_per_node=2, inside=LinkCost(1e-7, 1e-10), eager_limit_bytes=100),
)


def test_a_small_synchronous_send_does_not_overtake_a_large_one():
    def main(comm):
        if comm.rank == 0:
            requests = [comm.Isend(np.zeros(n, np.uint8), 1) for n in (100_000, 50_000)]
            requests += [comm.Issend(np.zeros(n, np.uint8), 1) for n in (3, 2)] + [comm.Isend(np.zeros(1, np.uint8), 1)]
            MPI.Request.Waitall(requests)
            return None
        sizes = []
        for source in (MPI.ANY_SOURCE, 0, MPI.ANY_SOURCE, 0, MPI.ANY_SOURCE):
            comm.Recv(np.zeros(100_000, np.uint8), source, status=(status := MPI.Status()))
            sizes.append(status.count)
        return sizes

    for network in NETWORKS:
        for seed in (None, *range(5)):
            assert simulate(2, main, network=network, seed=seed, jitter=10).results[1] == [100_000, 50_000, 3, 2, 1]


def test_probes_do_not_see_past_an_earlier_message():
    def main(comm):
        if comm.rank == 0:
            requests = [comm.Isend(np.zeros(10_000, np.uint8), 1, 1), comm.Issend(np.zeros(1, np.uint8), 1, 2)]
            MPI.Request.Waitall(requests)
            return None
        seen, status = [], MPI.Status()
        while len(seen) < 2:
            if comm.Iprobe(status=status):
                comm.Recv(np.zeros(10_000, np.uint8), status.source, status.tag)
                seen.append(status.tag)
        return seen

    for network in NETWORKS:
        for seed in (None, *range(5)):
            assert simulate(2, main, network=network, seed=seed, jitter=10).results[1] == [1, 2]


def test_a_wildcard_takes_what_arrives_first():
    def main(comm):
        if comm.rank:
            comm.charge_compute((comm.size - comm.rank) * 1.0)
            comm.send(comm.rank, 0)
        else:
            return [comm.recv() for _ in range(comm.size - 1)]

    assert simulate(5, main).results[0] == [4, 3, 2, 1]

    def before(comm):  # also of those that are there already
        if comm.rank == 0:
            comm.charge_compute(100.0)
        return main(comm)

    assert simulate(5, before).results[0] == [4, 3, 2, 1]


def test_of_messages_that_are_there_a_wildcard_takes_the_first_to_arrive():
    def main(comm):
        if comm.rank == 2:
            comm.send("sent first, from another node", 0)
        elif comm.rank == 1:
            comm.charge_compute(0.1)
            comm.send("sent later, arrives first", 0)
        else:
            comm.charge_compute(10.0)
            return [comm.recv().split()[1] for _ in range(2)]

    network = alpha_beta(1.0, 0, ranks_per_node=2, inside=LinkCost(0.01))
    assert simulate(3, main, network=network).results[0] == ["later,", "first,"]


def test_a_named_receive_leaves_the_others_to_the_wildcard():
    def main(comm):
        if comm.rank == 0:
            box, rooms = comm.Irecv(np.zeros(1), 2), [np.zeros(1) for _ in range(2)]
            wild = [comm.Irecv(room) for room in rooms]
            MPI.Request.Waitall([box, *wild])
            return sorted(float(room[0]) for room in rooms)
        comm.Send(np.full(1, 1.0 * comm.rank), 0)

    for seed in range(10):
        assert simulate(4, main, seed=seed).results[0] == [1.0, 3.0]


@pytest.mark.parametrize("limit", [0, 1, 8, 4096])
def test_an_unsafe_exchange_deadlocks_exactly_above_the_limit(limit):
    def main(comm, num_bytes):
        room = np.zeros(num_bytes, np.uint8)
        comm.Send(room.copy(), 1 - comm.rank)
        comm.Recv(room, 1 - comm.rank)

    network = alpha_beta(1e-6, 1e-9, eager_limit_bytes=limit)
    simulate(2, lambda comm: main(comm, limit), network=network)
    with pytest.raises(DeadlockError, match=r"rank 0 waits in Send\(dest=1, tag=0\); rank 1 waits in Send"):
        simulate(2, lambda comm: main(comm, limit + 1), network=network)
    with pytest.raises(DeadlockError):
        simulate(2, lambda comm: main(comm, limit), network=network, check_unsafe_sends=True)


def test_a_large_message_is_read_when_it_is_sent_and_a_small_one_is_put_aside():
    def main(comm):
        data = np.zeros(100)
        if comm.rank == 0:
            request = comm.Isend(data, 1)
            data[:] = 1  # MPI forbids this; here is what it may do
            request.Wait()
        else:
            comm.Recv(data, 0)
        return data[0]

    assert simulate(2, main, network=alpha_beta(1, 1)).results[1] == 0
    assert simulate(2, main, network=alpha_beta(1, 1, eager_limit_bytes=8)).results[1] == 1


def test_the_same_seed_gives_the_same_run_and_seeds_differ():
    def main(comm):
        total = np.zeros(50)
        comm.Allreduce(np.arange(50.0), total)
        if comm.rank:
            comm.send(comm.rank, 0)
            return None
        return [comm.recv() for _ in range(comm.size - 1)]

    def outcome(**options):
        run = simulate(9, main, trace=True, network=NETWORKS[3], **options)
        return run.results, run.times_s, run.counts, run.timeline

    assert outcome() == outcome()
    assert outcome(seed=7) == outcome(seed=7)
    assert len({str(outcome(seed=seed)[0]) for seed in range(10)}) > 3
    assert len({str(outcome(seed=seed)[1]) for seed in range(10)}) == 10


@pytest.mark.parametrize("jitter", [-3, -0.1, float("nan"), float("inf"), True, "1", None, 1j])
def test_a_jitter_that_is_none_is_refused(jitter):
    for seed in (None, 1):
        with pytest.raises(UsageError, match=r"(?s)^jitter=.*takes up to 1 \+ jitter times as long.*pass a number"):
            simulate(2, lambda comm: None, seed=seed, jitter=jitter)


def test_no_message_arrives_before_it_can():
    def main(comm):
        if comm.rank == 0:
            comm.charge_compute(1.0)
            comm.Send(np.zeros(1), 1)
        else:
            comm.Recv(np.zeros(1), 0)
            return comm.me.now

    for jitter in (0, 1, np.float64(2.5)):
        for seed in range(5):
            assert 2.0 <= simulate(2, main, seed=seed, jitter=jitter, network=alpha_beta(1.0, 0)).results[1] <= 2.0 + jitter


def test_find_races():
    def racy(comm):
        if comm.rank:
            comm.send(comm.rank, 0)
        else:
            return comm.recv()

    def stuck_at_times(comm):
        if comm.rank == 0:
            first = comm.recv()
            return comm.recv(source=3 - first) if first == 1 else comm.recv(source=2)
        comm.send(comm.rank, 0)

    races = find_races(3, racy)
    assert races and set(races.others) < set(range(20)) and "simulate(..., seed=" in str(races)
    assert f"{len(races.others)} of the seeds gave something else" in str(races) and "Most gave" not in str(races)
    seed, other = next(iter(races.others.items()))
    assert simulate(3, racy, seed=seed).results == other != races.reference
    found = find_races(3, stuck_at_times)
    outcomes = {str(outcome)[:13] for outcome in (found.reference, *found.others.values())}
    assert "DeadlockError" in outcomes and len(outcomes) > 1
    assert not find_races(3, lambda comm: comm.allreduce(comm.rank))
    with pytest.raises(RankFailedError):
        find_races(2, lambda comm: 1 / 0)


# Random programs. A program is a list of steps; in each, some ranks send to some ranks. All receives of a step are
# posted first, in a given order, so nothing can get stuck. The model: the k-th message from a to b with a tag goes
# to the k-th receive of b from a with that tag.
@st.composite
def programs(draw):
    size = draw(st.integers(1, 6))
    message = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), st.integers(0, 2),
                        st.sampled_from([0, 1, 13, 200, 3000]), st.sampled_from(["Isend", "Issend", "isend"]))
    steps = draw(st.lists(st.lists(message, max_size=12), min_size=1, max_size=4))
    return size, steps, draw(st.integers(0, len(NETWORKS) - 1)), draw(st.sampled_from([None, 0, 1, 2])), draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(programs())
def test_random_programs_deliver_what_the_model_says(program):
    size, steps, network, seed, by_probe = program

    def main(comm):
        got = []
        for number, step in enumerate(steps):
            sends, receives = [], []
            mine = [(k, m) for k, m in enumerate(step) if m[1] == comm.rank]
            if not by_probe:
                for _, (source, _, tag, count, call) in mine:
                    room = np.full(count + 1, -1)
                    receives.append((comm.irecv(source=source, tag=tag) if call == "isend" else comm.Irecv(room, source, tag), room))
            for k, (source, dest, tag, count, call) in enumerate(step):
                if source == comm.rank:
                    data = np.arange(count) + 1000 * k + number
                    sends.append(getattr(comm, call)(data.tolist() if call == "isend" else data, dest, tag))
            if by_probe:
                for _ in mine:
                    status = MPI.Status()
                    message = comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
                    first = next(m for m in mine if (m[1][0], m[1][2]) == (status.source, status.tag))  # in order
                    mine = [m for m in mine if m is not first]
                    if first[1][4] == "isend":
                        got.append((number, first[0], message.recv()))
                    else:
                        message.Recv(room := np.full(first[1][3], -1))
                        got.append((number, first[0], room.tolist()))
            else:
                values = MPI.Request.waitall([request for request, _ in receives])
                for (k, message), value, (_, room) in zip(mine, values, receives, strict=True):
                    got.append((number, k, value if message[4] == "isend" else room[:-1].tolist()))
            MPI.Request.Waitall(sends)
            if by_probe:
                comm.Barrier()  # nobody probes a message of the next step
        return sorted(got)

    # isend and Isend share tags: let the kinds of a pair and tag agree
    kinds = {}
    steps = [[(s, d, t, c, kinds.setdefault((s, d, t), call) if "i" == call[0] or kinds.get((s, d, t)) == "isend" else
               kinds.setdefault((s, d, t), call)) for s, d, t, c, call in step] for step in steps]
    run = simulate(size, main, network=NETWORKS[network], seed=seed, jitter=3.0)
    for rank, got in enumerate(run.results):
        assert got == sorted(
            (number, k, (np.arange(count) + 1000 * k + number).tolist())
            for number, step in enumerate(steps) for k, (_, dest, _, count, _) in enumerate(step) if dest == rank
        )
    assert (run.left_over, run.num_unreceived) == ({}, 0)
    if not by_probe:
        assert run.counts.num_messages == sum(map(len, steps))


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_no_message_overtakes_one_that_waits_for_its_port(seed):
    """The second waits until the first has left, and then the third is sent: at the same moment of virtual time."""
    def main(comm):
        if comm.rank == 0:
            first = comm.Isend(np.zeros(1000), 1, 0)
            second = comm.Isend(np.full(10000, 1.0), 1, 7)
            first.Wait()
            comm.Send(np.full(1, 2.0), 1, 7)
            second.Wait()
            return None
        room, got = np.empty(10000), []
        comm.Recv(room, 0, 0)
        for _ in range(2):
            comm.Recv(room, 0, 7)
            got.append(room[0])
        return got

    assert simulate(2, main, seed=seed).results[1] == [1.0, 2.0]


def test_a_sendrecv_to_what_is_no_rank_takes_no_message():
    def main(comm):
        room = np.zeros(1)
        if comm.rank == 0:
            comm.Send(np.ones(1), 1, 0)
        comm.Barrier()
        if comm.rank == 1:
            with pytest.raises(TypeError):
                comm.Sendrecv(room, 0.0, 0, room.copy(), 0, 0)
            comm.Recv(room, 0, 0)
        return room.tolist()

    assert simulate(2, main).results[1] == [1.0]


def test_find_races_needs_seeds_and_results_that_compare():
    with pytest.raises(UsageError, match="at least one seed"):
        find_races(2, lambda comm: 1, seeds=[])
    with pytest.raises(UsageError, match="cannot be compared"):
        find_races(2, lambda comm: (lambda: 1), seeds=range(2))
    shared = [1, 2]
    assert not find_races(2, lambda comm: shared if comm.bcast(comm.rank) == 0 else [1, 2], seeds=range(3))


@pytest.mark.parametrize("fill", [
    lambda values: dict(values), lambda values: [{"of": dict(values)}], lambda values: ({"a": {1: dict(values)}},),
    lambda values: {str(key) for key, _ in values}, lambda values: frozenset((key, (value,)) for key, value in values),
    lambda values: collections.Counter(key for key, _ in values),
    lambda values: types.SimpleNamespace(**{f"n{k}": v for k, v in values}),
    lambda values: collections.defaultdict(list, values), lambda values: np.array([dict(values), None]),
    lambda values: [*sorted(values), values[0][1] * 0],
])
def test_the_order_in_which_a_dict_or_set_is_filled_is_no_race(fill):
    def main(comm):
        if comm.rank:
            comm.send((comm.rank, float(comm.rank)), 0)
        else:
            return fill([comm.recv() for _ in range(comm.size - 1)])

    assert not find_races(5, main)


WITHIN = []
WITHIN.append(WITHIN)


@pytest.mark.parametrize("one, other", [
    (1, 1.0), (1, True), (0.0, -0.0), (float("nan"), 0.0), ("1", b"1"), ([1], (1,)), ({1}, frozenset({1})),
    ({1: 2}, {1: 2.0}), ({1: 2}, {2: 1}), ({1, 2}, [1, 2]), ({}, set()), ({}, ("dict", [])), (collections.OrderedDict([(1, 1), (2, 2)]),
    collections.OrderedDict([(2, 2), (1, 1)])), (np.zeros(2), np.zeros(2, np.float32)), (np.zeros(2), np.zeros((1, 2))),
    ({"a": np.zeros(2)}, {"a": np.ones(2)}), ([{1: {2: {3}}}], [{1: {2: {4}}}]), (WITHIN, [[]]),
])
def test_different_results_are_told_apart_and_equal_ones_are_not(one, other):
    def main(comm):
        if comm.rank:
            comm.send(comm.rank, 0)
        else:
            return one if comm.recv() == 1 else other

    assert find_races(3, main)
    assert not find_races(3, lambda comm: comm.bcast(one))


def test_results_are_compared_by_value_whatever_they_share():
    def main(comm):
        value = [1, "text"]
        return [value, value] if comm.world.seed % 2 else [value, [1, "text"[:2] + "xt"]]

    assert not find_races(2, main)
