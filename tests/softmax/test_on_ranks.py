"""The checks of ranks/ on real MPI ranks: one launch for each number of ranks, one test for each check."""

from pathlib import Path

import pytest
from checks_on_ranks import names_of_checks, outcomes, see_that_it_is_well

RANKS = Path(__file__).parent / "ranks"


@pytest.mark.mpi
@pytest.mark.parametrize("check", names_of_checks(RANKS))
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_on_real_ranks(num_ranks, check):
    see_that_it_is_well(outcomes(RANKS, num_ranks), check)
