"""Fit, prediction and choice: on times that are known, and on real ranks."""

import numpy as np
import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.network.presets import PRESETS
from labkit.errors import UsageError
from labkit.mpi import fit as fit_room
from labkit.mpi.collectives.registry import OPERATIONS, find
from labkit.mpi.fit import MachineFit, choose, fit, local_network, predict_s, ranking

SIZES = tuple(64 * 2**k for k in range(19))


def known_machine(alpha=2e-6, beta=1e-9, gamma=2e-10, own_gamma=1e-10):
    """A machine that follows the model exactly."""
    line = [alpha + beta * size for size in SIZES]
    return MachineFit.from_samples(
        2, SIZES, one_way=line, exchange=line, reduce=[gamma * s for s in SIZES],
        own_reduce=[own_gamma * s for s in SIZES], copy=[1e-10 * s for s in SIZES],
    )


def test_the_lines_are_found():
    machine = known_machine()
    assert machine.alpha_s == pytest.approx(2e-6, rel=1e-3)
    assert machine.beta_s_per_byte == pytest.approx(1e-9, rel=1e-3)
    assert machine.gamma_s_per_byte == pytest.approx(2e-10, rel=1e-3)
    network = machine.network(eager_limit_bytes=5)
    assert network.cost.alpha_s == machine.alpha_s and network.eager_limit_bytes == 5


@pytest.mark.parametrize("name", ["broadcast_binomial", "allgather_ring", "allreduce_ring", "allreduce_rabenseifner"])
@pytest.mark.parametrize("num_bytes", [65536, 2**20, 2**21])
def test_a_machine_of_the_model_is_predicted_by_the_formula(name, num_bytes):
    cost = find(name).cost(2, num_bytes // 8)
    expected = cost.time_s(2e-6, 1e-9, 2e-10)
    assert known_machine().predict_s(name, 2, num_bytes) == pytest.approx(expected, rel=0.1)


def test_between_and_beyond_the_measured_sizes():
    machine = known_machine(alpha=0)
    for num_bytes in (100, 5000, 2**18, 2**25):
        assert machine.predict_s("broadcast_flat", 2, num_bytes - num_bytes % 8) == pytest.approx(1e-9 * num_bytes, rel=0.1)


def test_one_rank_costs_nothing_and_zero_bytes_a_latency():
    machine = known_machine()
    assert machine.predict_s("allreduce_ring", 1, 10**6) == 0
    assert machine.predict_s("broadcast_flat", 2, 0) == pytest.approx(2e-6, rel=0.1)


@pytest.mark.parametrize(
    ("p", "num_bytes", "best"),
    [(64, 8, "recursive_doubling"), (64, 2**24, "rabenseifner"), (2, 8, "recursive_doubling"), (1024, 2**20, "rabenseifner")],
)
def test_choice_by_the_textbook(p, num_bytes, best):
    """Few bytes: few rounds. Many bytes and ranks: Rabenseifner; Swing has the same cost on a crossbar."""
    chosen = choose("allreduce", p, num_bytes, machine=alpha_beta(1e-6, 1e-9, 1e-10))
    assert chosen in (f"allreduce_{best}", "allreduce_swing" if best == "rabenseifner" else "")


def test_the_choice_is_the_first_of_the_ranking_and_times_are_the_predictions():
    network = PRESETS["ethernet-10g"]
    for op in ("barrier", "broadcast", "scatter", "allgather", "reduce", "alltoall", "scan"):
        rows = ranking(op, 12, 1000, machine=network)
        assert [t for _, t in rows] == sorted(t for _, t in rows)
        assert choose(op, 12, 1000, machine=network) == rows[0][0]
        for name, seconds in rows:
            assert seconds == predict_s(name, 12, 1000, machine=network)


def test_a_machine_with_dear_messages_prefers_few_of_them():
    dear, cheap = known_machine(alpha=1e-3), known_machine(alpha=1e-9)
    assert choose("broadcast", 64, 2**20, machine=dear) == "broadcast_binomial"
    assert choose("broadcast", 64, 2**20, machine=cheap) in ("broadcast_scatter_allgather", "broadcast_chain")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: choose("sum", 2, 8, machine=PRESETS["ethernet-10g"]), "there is no operation 'sum'"),
        (lambda: choose("allreduce", 0, 8, machine=PRESETS["ethernet-10g"]), "at least 1, not 0"),
        (lambda: choose("allreduce", 2, -8, machine=PRESETS["ethernet-10g"]), "0 or more, not -8"),
        (lambda: fit(1), "at least 2 ranks, not 1"), (lambda: fit(2, seconds=0), "seconds=0"),
        (lambda: fit(2, seconds=60), "at most 10 s"), (lambda: fit(2, seconds="a"), "seconds='a'"),
        (lambda: fit(2.5), "not 2.5"), (lambda: fit("2"), "not '2'"), (lambda: fit(10**6), "at most 64"),
        (lambda: choose("allreduce", "4", 8, machine=PRESETS["ethernet-10g"]), "num_ranks is a whole number of at least 1, not '4'"),
        (lambda: choose("allreduce", 4, None, machine=PRESETS["ethernet-10g"]), "num_bytes is the size of the whole buffer"),
        (lambda: choose("allreduce", 4, 8, machine=PRESETS["ethernet-10g"], itemsize=0), "itemsize is a whole number"),
        (lambda: choose("allreduce", 4, float("inf"), machine=PRESETS["ethernet-10g"]), "not inf"),
        (lambda: choose("allreduce", 4, 8, machine="ethernet-10g"), "find_network('ethernet-10g')"),
        (lambda: predict_s("allreduce_ring", 4, -8, machine=PRESETS["ethernet-10g"]), "not -8"),
        (lambda: known_machine().predict_s("allreduce_ring", 4, -8), "not -8"),
        (lambda: predict_s("allreduce_ring", 4, 8, machine=None), "machine is what fit() gives or a network"),
    ],
)
def test_wrong_arguments(call, words):
    with pytest.raises(UsageError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize("machine", [known_machine(), PRESETS["ethernet-10g"], PRESETS["nvlink+infiniband"]])
@pytest.mark.parametrize("num_bytes", [0, 1, 7, 2**31, 2**34])
@pytest.mark.parametrize("num_ranks", [1, 2, 7, 12])
def test_every_operation_at_odd_sizes(machine, num_ranks, num_bytes):
    for op in OPERATIONS:
        rows = ranking(op, num_ranks, num_bytes, machine=machine)
        assert rows and all(0 <= seconds < float("inf") for _, seconds in rows)
        assert (num_ranks > 1) == any(seconds for _, seconds in rows)


@pytest.mark.parametrize("machine", [known_machine(), PRESETS["ethernet-10g"]])
def test_the_integers_of_numpy_are_numbers_too(machine):
    for num_bytes in (4096, 2**31 - 1):
        rows = ranking("allreduce", 6, num_bytes, machine=machine)
        assert ranking("allreduce", np.int64(6), np.int32(num_bytes), machine=machine) == rows
    assert find("allreduce_ring").cost(np.int32(6), np.int32(2**31 - 1)) == find("allreduce_ring").cost(6, 2**31 - 1)


def test_large_elements_are_rounded_up_to():
    """A message of 8 bytes is one element of 16: twice the bytes."""
    network = alpha_beta(0, 1.0)
    assert predict_s("broadcast_flat", 2, 8, machine=network, itemsize=16) == 2 * predict_s("broadcast_flat", 2, 8, machine=network)


@pytest.mark.mpi
def test_a_fit_of_this_machine_and_the_local_network(monkeypatch):
    machine = fit(2, seconds=0.2)
    assert machine.num_ranks == 2 and machine.sizes_bytes[-1] == 2**24
    for row in (machine.one_way_s, machine.exchange_s, machine.reduce_s, machine.own_reduce_s, machine.copy_s):
        assert len(row) == len(machine.sizes_bytes) and all(0 < t < 10 for t in row)
        assert row[-1] > row[0]  # 16 MiB take longer than 64 B
    assert machine.beta_s_per_byte > 0 and machine.overhead_s >= 0
    assert np.isfinite([machine.predict_s(n, 2, 2**20) for n in ("allreduce_ring", "scan_linear", "alltoall_bruck")]).all()

    fit_room.this_machine.cache_clear()
    monkeypatch.setattr(fit_room, "DEFAULT_SECONDS", 0.2)
    monkeypatch.setattr(fit_room, "fit", lambda num_ranks: machine)
    told = []
    network = local_network("eager=77,topology=ring", progress=told.append)
    assert network.cost.alpha_s == machine.alpha_s and network.eager_limit_bytes == 77 and str(network.topology) == "ring"
    assert told[0].startswith("measuring messages") and told[1].startswith("fitted: local")
    fit_room.this_machine.cache_clear()
