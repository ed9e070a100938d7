"""The checks of ranks/ on simulated ranks, on networks where messages are put aside, and where they wait."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate

RANKS = Path(__file__).parent / "ranks"
CHECKS = sorted(
    (path.stem, name)
    for path in RANKS.glob("checks_*.py")
    for name in re.findall(r"^def (check_\w+)", path.read_text(), re.M)
    if path.stem != "checks_nodes"
)
NETWORKS = {
    "eager": alpha_beta(1e-6, 1e-9, 1e-10), "rendezvous": alpha_beta(1e-6, 1e-9, 1e-10, eager_limit_bytes=0),
    "mixed": alpha_beta(1e-6, 1e-9, eager_limit_bytes=32),
}
FEW, MANY = (1, 2, 3, 4, 5, 6, 7, 8, 9), (12, 16, 17, 31)


def check_named(module, name):
    sys.path.insert(0, str(RANKS))
    try:
        return getattr(importlib.import_module(module), name)
    finally:
        sys.path.remove(str(RANKS))


def run(check, num_ranks, network, **options):
    found = simulate(num_ranks, check, network=network, **options)
    assert found.num_unreceived == 0 and not found.left_over
    return found


@pytest.mark.parametrize(("module", "name"), CHECKS, ids=[name for _, name in CHECKS])
def test_with_every_small_number_of_ranks(module, name):
    check = check_named(module, name)
    for num_ranks in FEW:
        for network in list(NETWORKS.values())[num_ranks % 3 :][:2]:
            run(check, num_ranks, network)


@pytest.mark.parametrize(("module", "name"), CHECKS, ids=[name for _, name in CHECKS])
@pytest.mark.parametrize("num_ranks", MANY)
def test_with_many_ranks(module, name, num_ranks):
    run(check_named(module, name), num_ranks, list(NETWORKS.values())[num_ranks % 3])
