"""The checks of ranks/ on real ranks (one launch for each number of ranks) and on simulated ones."""

import importlib
import sys
from pathlib import Path

import pytest
from checks_on_ranks import names_of_checks, outcomes, see_that_it_is_well

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate
from labkit.mpi.point_to_point.send_modes import find_eager_limit, time_send_modes

RANKS = Path(__file__).parent / "ranks"
CHECKS = names_of_checks(RANKS)
MACHINES = {"1": (1,), "2": (2,), "3": (3,), "5": (5,), "3-interruptible": (3, "--interruptible")}


SIMULATED = {"simulated-3": 3, "simulated-5": 5}
REAL_CLOCK = {  # they wait, sleep or compute by the clock of this computer, which simulated ranks do not look at
    "check_deadlock_patterns_get_stuck", "check_overlap_computes_in_parts_between_start_and_wait",
    "check_send_modes_by_the_real_clock",
}


def test_the_checks_are_found():
    assert len(CHECKS) >= 20


@pytest.mark.mpi
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("machine", MACHINES)
def test_on_real_ranks(machine, check):
    see_that_it_is_well(outcomes(RANKS, *MACHINES[machine]), check)


@pytest.fixture
def functions(monkeypatch):
    """{check: function}; the files of ranks/ import their helpers by name."""
    monkeypatch.syspath_prepend(str(RANKS))
    names = {"helpers", *(path.stem for path in RANKS.glob("checks_*.py"))}
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    found = {}
    for name in sorted(names - {"helpers"}):
        found |= vars(importlib.import_module(name))
    yield found
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("check", sorted(set(CHECKS) - REAL_CLOCK))
@pytest.mark.parametrize("machine", SIMULATED)
def test_on_simulated_ranks(machine, check, functions):
    assert simulate(SIMULATED[machine], functions[check]).left_over == {}


@pytest.mark.parametrize("limit", [0, 1000, 65536])
def test_simulated_ranks_have_the_eager_limit_of_their_network(limit):
    network = alpha_beta(1e-6, 1e-9, eager_limit_bytes=limit)
    found = simulate(2, lambda comm: find_eager_limit(comm, 1 << 20), network=network)
    assert found.results == [limit] * 2


def test_simulated_sends_wait_for_the_virtual_time_of_a_late_receive():
    network = alpha_beta(1e-6, 1e-9, eager_limit_bytes=1000)
    small, large = (
        simulate(2, lambda comm: time_send_modes(comm, num_bytes, 3600.0), network=network).results[0]
        for num_bytes in (1000, 1001)
    )
    assert small.send_was_eager and small.send_s < 1e-3 and not large.send_was_eager
    for waited_s in (large.send_s, large.ssend_s, small.ssend_s, large.isend_s + large.isend_wait_s):
        assert 3600 <= waited_s < 3600.001
