"""The checks of ranks/ on real ranks: one launch for each number of ranks, because importing torch takes seconds."""

from pathlib import Path

import pytest
from checks_on_ranks import names_of_checks, outcomes, see_that_it_is_well

RANKS = Path(__file__).parent / "ranks"
MACHINES = {"2": (2,), "3-interruptible": (3, "--interruptible")}
DEADLINE_S = 240


@pytest.mark.mpi
@pytest.mark.timeout(DEADLINE_S + 60)
@pytest.mark.parametrize("check", names_of_checks(RANKS))
@pytest.mark.parametrize("machine", MACHINES)
def test_on_real_ranks(machine, check):
    see_that_it_is_well(outcomes(RANKS, *MACHINES[machine], deadline_s=DEADLINE_S), check)
