"""Virtual times, computed by hand; routes, by an independent search for the shortest way."""

from fractions import Fraction

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.network.model import LinkCost, Network, alpha_beta, loggp
from labkit.comm.network.topologies import Crossbar, FatTree, Ring, Torus
from labkit.comm.simulated.run import simulate
from labkit.comm.simulated.transport import Transport

A, B = Fraction(1, 1000), Fraction(1, 10**6)  # alpha, beta: fractions, so that times are exact
N = 64
BUFFER = np.zeros(N, np.uint8)
T = A + N * B  # of one message


def times(num_ranks, function, network):
    """Clock of each rank at its end."""
    return simulate(num_ranks, function, network=network).times_s


def test_a_send_and_its_receive():
    def main(comm):
        if comm.rank == 0:
            comm.Send(BUFFER, 1)
        else:
            comm.Recv(BUFFER.copy(), 0)

    assert times(2, main, alpha_beta(A, B)) == [T, T]


def test_a_late_receive_takes_no_longer_and_a_nonblocking_send_costs_nothing():
    def main(comm):
        if comm.rank == 0:
            request = comm.Isend(BUFFER, 1)
            assert comm.me.now == 0
            request.Wait()
        else:
            comm.charge_compute(10 * T)
            comm.Recv(BUFFER.copy(), 0)

    assert times(2, main, alpha_beta(A, B)) == [T, 10 * T]


@pytest.mark.parametrize("late, expected", [("receiver", [5 * T + T] * 2), ("sender", [5 * T + T] * 2)])
def test_rendezvous_waits_for_both(late, expected):
    def main(comm):
        if (comm.rank == 0) == (late == "sender"):
            comm.charge_compute(5 * T)
        if comm.rank == 0:
            comm.Send(BUFFER, 1)
        else:
            comm.Recv(BUFFER.copy(), 0)

    assert times(2, main, alpha_beta(A, B, eager_limit_bytes=N - 1)) == expected
    if late == "receiver":
        assert times(2, main, alpha_beta(A, B, eager_limit_bytes=N)) == [T, 5 * T]


def test_loggp():
    latency, overhead, gap = Fraction(7, 100), Fraction(2, 100), Fraction(5, 100)
    per_byte = Fraction(1, 1000)

    def main(comm):
        if comm.rank == 0:
            requests = [comm.Isend(BUFFER, 1) for _ in range(3)]
            assert comm.me.now == 3 * overhead
            MPI.Request.Waitall(requests)
        else:
            arrivals = []
            for _ in range(3):
                comm.Recv(BUFFER.copy(), 0)
                arrivals.append(comm.me.now)
            return arrivals

    network = loggp(latency, overhead, gap, per_byte)
    run = simulate(2, main, network=network)
    first = overhead + N * per_byte + latency + overhead
    assert first == network.cost.message_s(N)
    spacing = N * per_byte + gap  # G a byte, then g
    assert run.results[1] == [first, first + spacing, first + 2 * spacing]
    assert run.times_s[0] == overhead + 2 * spacing + N * per_byte


def test_loggp_rendezvous_pays_the_way_three_times():
    latency, overhead, per_byte = Fraction(7, 100), Fraction(2, 100), Fraction(1, 1000)

    def main(comm):
        if comm.rank == 0:
            comm.Ssend(BUFFER, 1)
        else:
            comm.Recv(BUFFER.copy(), 0)

    sent, received = times(2, main, loggp(latency, overhead, 0, per_byte))
    assert sent == overhead + latency + latency + N * per_byte  # asks, is answered, sends
    assert received == sent + latency + overhead


@pytest.mark.parametrize("eager_limit", [N, 0])
def test_a_processor_handles_one_message_after_the_other(eager_limit):
    """Only o costs, 1: ten senders' messages are there at 1, and rank 0 has ten times o to do for them."""
    def ten(receive):
        def main(comm):
            if comm.rank:
                comm.charge_compute(spacing * comm.rank)
                comm.Send(BUFFER, 0)
            else:
                receive(comm, range(1, comm.size))
                return comm.me.now

        return simulate(11, main, network=loggp(0, 1, 0, 0, eager_limit_bytes=eager_limit)).results[0]

    def started(comm, sources):
        return [comm.Irecv(BUFFER.copy(), source) for source in sources]

    def prepared(comm, sources):
        requests = [comm.Recv_init(BUFFER.copy(), source) for source in sources]
        MPI.Prequest.Startall(requests)
        return requests

    def one_by_one(comm, requests):
        for _ in requests:
            MPI.Request.Waitany(requests)

    ways = (
        lambda comm, sources: [comm.Recv(BUFFER.copy(), source) for source in sources],
        lambda comm, sources: MPI.Request.Waitall(started(comm, sources)),
        lambda comm, sources: MPI.Request.Waitall(started(comm, reversed(sources))),
        lambda comm, sources: MPI.Request.Waitall(prepared(comm, sources)),
        lambda comm, sources: [request.Wait() for request in started(comm, sources)],
        lambda comm, sources: one_by_one(comm, started(comm, sources)),
    )
    for spacing, expected in ((0, 11), (Fraction(1, 2), Fraction(23, 2)), (3, 32)):  # they come at 1 + spacing * rank
        assert [ten(receive) for receive in ways] == [expected] * len(ways)


@pytest.mark.parametrize("wait", [
    lambda request: request.Wait(), lambda request: request.Test(), lambda request: MPI.Request.Waitall([request]),
    lambda request: MPI.Request.Waitany([request]), lambda request: MPI.Request.Testall([request]),
    lambda request: MPI.Request.Waitsome([request]), lambda request: MPI.Request.Testany([request]),
])
def test_a_message_that_comes_while_a_rank_computes_is_handled_afterwards(wait):
    def main(comm):
        if comm.rank:
            comm.Send(BUFFER, 0)
        else:
            request = comm.Irecv(BUFFER.copy(), 1)
            comm.charge_compute(5)
            assert comm.me.now == 5
            wait(request)
            request.Wait()
            return comm.me.now

    assert simulate(2, main, network=loggp(0, 1, 0, 0)).results[0] == 6


def test_one_port_out_and_one_port_in():
    def fan_out(comm):
        if comm.rank == 0:
            MPI.Request.Waitall([comm.Isend(BUFFER, dest) for dest in range(1, comm.size)])
        else:
            comm.Recv(BUFFER.copy(), 0)

    assert times(4, fan_out, alpha_beta(A, B)) == [3 * T, T, 2 * T, 3 * T]

    def fan_in(comm):
        if comm.rank:
            comm.Send(BUFFER, 0)
        else:
            ends = []
            for _ in range(comm.size - 1):
                comm.Recv(BUFFER.copy())
                ends.append(comm.me.now)
            return ends

    assert simulate(4, fan_in, network=alpha_beta(A, B)).results[0] == [T, 2 * T, 3 * T]


def test_both_directions_at_once():
    def main(comm):
        comm.Sendrecv(BUFFER, 1 - comm.rank, 0, BUFFER.copy(), 1 - comm.rank, 0)

    assert times(2, main, alpha_beta(A, B)) == [T, T]
    assert times(2, main, alpha_beta(A, B, eager_limit_bytes=0)) == [T, T]


def test_a_rank_that_computes_between_looks_does_not_jump():
    def main(comm):
        if comm.rank:
            comm.charge_compute(1.0)
        else:
            for _ in range(100):
                assert not comm.Iprobe(source=1)
                comm.charge_compute(1e-6)

    assert times(2, main, alpha_beta(A, B)) == pytest.approx([100 * 1.1e-6, 1.0])


@pytest.mark.parametrize("look", ["Test", "Iprobe"])
@pytest.mark.parametrize("compute_s", [1e-6, 3e-5, 0])
def test_looks_see_a_message_when_it_comes(look, compute_s):
    """It comes at 1 ms, whether ``compute_s`` passes between looks or they follow each other; others compute longer."""
    def main(comm, sends_at):
        num_looks = 0
        if comm.rank == 0:
            request = comm.Irecv(BUFFER.copy(), 1) if look == "Test" else None
            while not (comm.Iprobe(1) if request is None else request.Test()):
                num_looks += 1
                if compute_s:
                    comm.charge_compute(compute_s)
            return num_looks, comm.me.now
        if comm.rank == 1:
            comm.charge_compute(sends_at)
            comm.Isend(BUFFER, 0)
        comm.charge_compute(1.0 * comm.rank)

    for sends_at, alpha in ((1e-3, 0), (0, 1e-3), (4e-4, 6e-4)):
        run = simulate(3, lambda comm, at=sends_at: main(comm, at), network=alpha_beta(alpha, 0))
        num_looks, time = run.results[0]
        assert 1e-3 <= time <= 1e-3 + compute_s + 4e-7
        if compute_s:
            assert num_looks == pytest.approx(1e-3 / (compute_s + 1e-7), abs=1)


def test_reductions_take_gamma():
    gamma = Fraction(1, 10**5)

    def main(comm):
        comm.Reduce(np.zeros(8), np.zeros(8) if comm.rank == 0 else None)

    assert times(2, main, alpha_beta(A, B, gamma))[0] == T + 64 * gamma


def test_a_nonblocking_collective_goes_on_beside_the_rank():
    def main(comm):
        out = np.zeros(8)
        request = comm.Iallreduce(np.ones(8), out)
        assert comm.me.now == 0
        comm.charge_compute(20 * T)
        request.Wait()
        return out[0]

    run = simulate(4, main, network=alpha_beta(A, B))
    assert run.results == [4.0] * 4 and run.times_s == [20 * T] * 4
    blocking = simulate(4, lambda comm: comm.Allreduce(np.ones(8), np.zeros(8)), network=alpha_beta(A, B))
    at_once = simulate(4, lambda comm: comm.Iallreduce(np.ones(8), np.zeros(8)).Wait(), network=alpha_beta(A, B))
    assert (at_once.counts, at_once.times_s) == (blocking.counts, blocking.times_s)
    assert run.counts == blocking.counts


HOP = Fraction(1, 10**4)


def send_all(pairs):
    """Each (source, dest) sends one message at time 0; returns when each dest has it."""

    def main(comm):
        requests = [comm.Irecv(BUFFER.copy(), source) for source, dest in pairs if dest == comm.rank]
        for source, dest in pairs:
            if source == comm.rank:
                comm.Isend(BUFFER, dest)
        MPI.Request.Waitall(requests)
        return comm.me.now if requests else None

    return main


@pytest.mark.parametrize("topology, num_ranks, pairs, expected", [
    (Ring(), 8, [(0, 3)], {3: 3 * HOP + T}),
    (Ring(), 8, [(0, 6)], {6: 2 * HOP + T}),
    # 0 -> 2 leaves first and has link 1 from 2 HOP to 2 HOP + T; then 1 -> 3 goes on to link 2.
    (Ring(), 8, [(0, 2), (1, 3)], {2: 2 * HOP + T, 3: 2 * HOP + T + HOP + T}),
    (Ring(), 8, [(0, 2), (4, 6)], {2: 2 * HOP + T, 6: 2 * HOP + T}),
    (Torus(2, 4), 8, [(0, 5)], {5: 2 * HOP + T}),
    (Torus(2, 4), 8, [(0, 3)], {3: HOP + T}),  # around
    (FatTree(4, 1), 8, [(0, 4), (1, 5)], {4: 2 * HOP + T, 5: 2 * HOP + T}),
    (FatTree(4, 4), 8, [(0, 4), (1, 5)], {4: 2 * HOP + T, 5: 2 * HOP + T + T}),  # they share one uplink
    (FatTree(4, 2), 8, [(0, 4), (1, 6)], {4: 2 * HOP + T, 6: 2 * HOP + T + T}),  # same lane: 4 % 2 == 6 % 2
    (FatTree(4, 2), 8, [(0, 4), (1, 5)], {4: 2 * HOP + T, 5: 2 * HOP + T}),
    (FatTree(4, 4), 8, [(0, 1), (2, 3)], {1: T, 3: T}),  # below one leaf
])
def test_links_are_shared(topology, num_ranks, pairs, expected):
    network = alpha_beta(A, B, topology=topology, hop_s=HOP)
    results = simulate(num_ranks, send_all(pairs), network=network).results
    found = {rank: time for rank, time in enumerate(results) if time is not None}
    assert found == expected


def test_a_node_has_one_port_and_its_inside_is_another_network():
    inside = LinkCost(A / 10, B / 10)
    network = Network("two levels", LinkCost(A, B), ranks_per_node=2, inside=inside)
    short = A / 10 + N * B / 10
    assert simulate(4, send_all([(0, 1)]), network=network).results[1] == short
    assert simulate(4, send_all([(0, 2), (1, 3)]), network=network).results[2:] == [T, 2 * T]  # the port is shared
    assert simulate(4, send_all([(0, 2), (0, 1)]), network=network).results[1:3] == [short, T]  # ports of their own
    assert simulate(4, send_all([(0, 1), (2, 3)]), network=network).results[1::2] == [short, short]
    flat = network.with_(ranks_per_node=1)
    assert simulate(4, send_all([(0, 2), (1, 3)]), network=flat).results[2:] == [T, T]


def test_ranks_have_ports_of_their_own_inside_a_node_that_costs_the_same():
    cost = LinkCost(A, B)
    for inside in (cost, LinkCost(A, B)):  # one object, or two
        network = Network("all the same", cost, ranks_per_node=4, inside=inside)
        assert simulate(4, send_all([(0, 1), (2, 3)]), network=network).results[1::2] == [T, T]


def graph_of(topology, num_nodes):
    """{node: {next node: link}} from what the classes promise in words, not from their routes."""
    edges = {node: {} for node in range(num_nodes)}
    if isinstance(topology, Ring):
        for node in range(num_nodes):
            edges[node].setdefault((node - 1) % num_nodes, num_nodes + node)
            edges[node][(node + 1) % num_nodes] = node
    else:
        rows, columns = topology.shape(num_nodes)
        for node in range(num_nodes):
            row, column = divmod(node, columns)
            for direction, (r, c) in ((3, (-1, 0)), (2, (1, 0)), (1, (0, -1)), (0, (0, 1))):
                edges[node][(row + r) % rows * columns + (column + c) % columns] = 4 * node + direction
    return edges


def distances(edges, start):
    found, queue = {start: 0}, [start]
    for node in queue:
        for other in edges[node]:
            if other not in found:
                found[other] = found[node] + 1
                queue.append(other)
    return found


@pytest.mark.parametrize("topology, num_nodes", [
    *((Ring(), n) for n in (1, 2, 3, 4, 7, 8)), (Torus(), 12), (Torus(), 7), (Torus(1, 5), 5), (Torus(2, 2), 4),
    (Torus(4, 4), 16), (Torus(3, 5), 15), (Torus(None, 2), 6), (Torus(3), 9),
])
def test_routes_are_shortest_ways(topology, num_nodes):
    edges = graph_of(topology, num_nodes)
    ends = {link: (node, other) for node, to in edges.items() for other, link in to.items()}
    for source in range(num_nodes):
        far = distances(edges, source)
        for dest in range(num_nodes):
            route = topology.route(source, dest, num_nodes)
            assert len(route) == far[dest]
            assert all(0 <= link < topology.num_links(num_nodes) for link in route)
            if num_nodes > 4:  # below, two links can lead to the same neighbour
                where = source
                for link in route:
                    if link in ends:
                        assert ends[link][0] == where
                        where = ends[link][1]
                assert where == dest or any(link not in ends for link in route)


@pytest.mark.parametrize("nodes_per_leaf, oversubscription", [(1, 1), (4, 1), (4, 4), (4, 1.5), (16, 3), (3, 8)])
def test_fat_tree_routes(nodes_per_leaf, oversubscription):
    tree, num_nodes = FatTree(nodes_per_leaf, oversubscription), 30
    assert tree.num_uplinks == max(1, int(nodes_per_leaf / oversubscription))
    owners = {}
    for source in range(num_nodes):
        for dest in range(num_nodes):
            route = tree.route(source, dest, num_nodes)
            same = source // nodes_per_leaf == dest // nodes_per_leaf
            assert len(route) == (0 if same else 2)
            for link, leaf in zip(route, (("up", source // nodes_per_leaf), ("down", dest // nodes_per_leaf)), strict=False):
                assert 0 <= link < tree.num_links(num_nodes)
                assert owners.setdefault(link, leaf) == leaf  # a link belongs to one leaf and one direction
    for leaf in set(owners.values()):
        assert list(owners.values()).count(leaf) <= tree.num_uplinks


@pytest.mark.parametrize("nodes_per_leaf", range(1, 100))
def test_a_fat_tree_loses_no_uplink_to_rounding(nodes_per_leaf):
    for tenths in range(10, 60):
        assert FatTree(nodes_per_leaf, tenths / 10).num_uplinks == max(1, nodes_per_leaf * 10 // tenths)
    for num_uplinks in range(1, nodes_per_leaf + 1):
        assert FatTree(nodes_per_leaf, nodes_per_leaf / num_uplinks).num_uplinks == num_uplinks


def test_routes_are_asked_once():
    class Counting(Crossbar):
        calls = 0

        def num_links(self, num_nodes):
            return 1

        def route(self, source, dest, num_nodes):
            Counting.calls += 1
            return (0,)

    transport = Transport(alpha_beta(1, 0, topology=Counting()), 2)
    assert [transport.travel(0, 1, 0, 0) for _ in range(3)] == [1, 2, 3]
    assert Counting.calls == 1
