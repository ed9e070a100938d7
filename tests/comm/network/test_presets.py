"""Networks as values: presets with sources, and networks written as text."""

import pytest

from labkit.comm.network.model import LinkCost, Network, alpha_beta, loggp
from labkit.comm.network.presets import PRESETS, find_network
from labkit.comm.network.topologies import Crossbar, FatTree, Ring, Torus
from labkit.errors import UsageError


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_states_where_its_numbers_come_from(name):
    network = PRESETS[name]
    assert network.name == name and len(network.source) > 40
    assert 1e-7 < network.cost.message_s(0) < 1e-4  # a latency
    assert 1e9 < 1 / network.cost.beta_s_per_byte < 1e12  # a bandwidth, in bytes a second
    assert find_network(name) is not None and find_network(name).cost == network.cost


@pytest.mark.parametrize(
    ("faster", "slower"),
    [("infiniband-ndr", "infiniband-hdr"), ("infiniband-hdr", "ethernet-100g"), ("ethernet-100g", "ethernet-10g")],
)
def test_bandwidths_are_in_the_order_of_their_line_rates(faster, slower):
    assert PRESETS[faster].cost.beta_s_per_byte < PRESETS[slower].cost.beta_s_per_byte


def test_line_rates_are_not_exceeded():
    line_rates = {"ethernet-10g": 1.25e9, "ethernet-100g": 12.5e9, "infiniband-hdr": 25e9, "infiniband-ndr": 50e9}
    for name, rate in line_rates.items():
        assert 1 / PRESETS[name].cost.beta_s_per_byte <= rate


def test_values_replace_those_of_a_preset():
    network = find_network("ethernet-10g,alpha=1e-6,bandwidth=2e9,eager=100,topology=fat-tree(8,4),hop=1e-7,gamma=0")
    assert network.cost == LinkCost(1e-6, 0.5e-9) and network.eager_limit_bytes == 100
    assert network.topology == FatTree(8, 4.0) and network.hop_s == 1e-7 and network.gamma_s_per_byte == 0
    network = find_network("latency=1e-6,overhead=2e-7,gap=3e-7,alpha=0,beta=1e-10,node=4,inside-alpha=1e-7,inside-beta=1e-11")
    assert network.cost == loggp(1e-6, 2e-7, 3e-7, 1e-10).cost
    assert network.ranks_per_node == 4 and network.inside == LinkCost(1e-7, 1e-11)


@pytest.mark.parametrize(
    ("text", "topology"),
    [("ring", Ring()), ("torus", Torus()), ("torus(4x8)", Torus(4, 8)), ("crossbar", Crossbar()), ("fat-tree(4,2.5)", FatTree(4, 2.5)),
     ("torus(x4)", Torus(None, 4)), ("torus(4x)", Torus(4)), ("torus(4)", Torus(4)), ("torus()", Torus()), ("fat-tree(8)", FatTree(8))],
)
def test_topologies(text, topology):
    assert find_network(f"topology={text}").topology == topology
    assert find_network(f"topology={topology}").topology == topology  # as it is printed


@pytest.mark.parametrize("text", ["torus(2x2x2)", "torus(ax)", "fat-tree(,4)", "fat-tree(4,)", "fat-tree(4,1,2)", "ring(4)"])
def test_a_topology_of_wrong_sizes_is_refused(text):
    with pytest.raises(UsageError, match="wrong sizes"):
        find_network(f"topology={text}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alpha=inf", "negative or without end"), ("gamma=inf", "only the limit may be infinite"), ("hop=inf", "only the limit"),
        ("topology=torus(0x4)", "at least 1 row and 1 column, not 0 and 4"), ("topology=torus(-2x-2)", "not -2 and -2"),
        ("topology=fat-tree(4,nan)", "oversubscription of at least 1"), ("topology=fat-tree(4,inf)", "not 4 and inf"),
        ("inside-alpha=1e-6", "add node="), ("ethernet-10g,inside-beta=1e-9", "add node="),
        ("alpha=1,alpha=2", "alpha is given twice"), ("beta=1e-9,bandwidth=1e9", "the same thing"),
        ("bandwidth=1e9,beta=1e-9", "the same thing"), ("bandwidth=10G", "not a number; write bytes per s, for example 1e9"),
        ("alpha=1us", "write s, for example 1e-6"), ("beta=x", "write s per byte"), ("node=2.5", "a whole number of ranks"),
        ("eager=x", "write bytes"), ("ethernet", "or write values, for example alpha=1e-6"),
    ],
)
def test_a_text_that_is_no_network_is_refused_with_the_rule(text, words):
    with pytest.raises(UsageError) as caught:
        find_network(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, b"ethernet-10g", PRESETS["ethernet-10g"]])
def test_only_text_names_a_network(value):
    with pytest.raises(UsageError, match="a network is written as text"):
        find_network(value)


def test_spaces_around_words_and_half_a_torus():
    assert find_network(" ethernet-10g , alpha = 2e-6 ").cost.alpha_s == 2e-6
    assert find_network("nvlink+infiniband,inside-alpha=1e-6").inside.alpha_s == 1e-6
    network = find_network("topology=torus(4)")
    assert network.topology == Torus(4) and network.topology.shape(12) == (4, 3) and str(network.topology) == "torus(4x)"


@pytest.mark.parametrize(
    "text", ["", "ethernet-10g", "alpha=1,beta=2", "infiniband-hdr,topology=torus(3x5),node=2"],
)
def test_a_network_says_what_it_is(text):
    network = find_network(text)
    assert network.name in str(network) and "beta" in str(network)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: find_network("myrinet"), "there is no network 'myrinet'; the known ones are shared-memory"),
        (lambda: find_network("alpha"), "there is no network 'alpha'"),
        (lambda: find_network("ethernet-10g,fast"), "'fast' is none of alpha="),
        (lambda: find_network("bandwidth=0"), "a bandwidth is positive"),
        (lambda: find_network("node=0"), "at least one rank"), (lambda: find_network("node=1.5"), "is not a number"),
        (lambda: find_network("topology=fat-tree(0,1)"), "at least 1 node"),
        (lambda: find_network("topology=torus(axb)"), "wrong sizes"), (lambda: alpha_beta(-1, 0), "no cost of a link is negative"),
        (lambda: alpha_beta(float("nan"), 0), "no cost of a link is negative"),
        (lambda: Network("x", LinkCost(), ranks_per_node=2), "cost of a message inside"),
        (lambda: alpha_beta(1, 1, -1), "gamma, eager limit and hop latency are not negative"),
        (lambda: Torus(2, 3).num_links(8), "rows x columns = 8"),
    ],
)
def test_what_is_wrong_is_said(make, words):
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value) and "\n" not in str(caught.value)
