"""The checks of ranks/ on real MPI ranks: one launch for each number of ranks, one test for each check."""

import functools
import json
import re
import tempfile
from pathlib import Path

import pytest

from labkit.errors import NotAvailableError
from labkit.hardware.messages import run_mpi

RANKS = Path(__file__).parent / "ranks"
RUNNER = Path(__file__).parents[1] / "mpi" / "point_to_point" / "ranks" / "run_checks.py"
CHECKS = sorted(
    name for path in RANKS.glob("checks_*.py") for name in re.findall(r"^def (check_\w+)", path.read_text(), re.M)
)


@functools.cache
def outcomes(num_ranks):
    """{check: {rank: what went wrong}} of one launch; a hang is told with the check that hung."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        try:
            run_mpi([str(RUNNER), str(log), f"--folder={RANKS}"], num_ranks, 100)
            hang = None
        except NotAvailableError as error:
            hang = str(error)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found = {line["check"]: line["failures"] for line in lines if "failures" in line}
    if hang:
        started = [line["check"] for line in lines]
        raised = "\n".join(line["raised"] for line in lines[-10:] if "raised" in line)
        found[started[-1] if started else CHECKS[0]] = {"all": f"{hang}\n{raised}"}
    return found


@pytest.mark.mpi
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4])
def test_on_real_ranks(num_ranks, check):
    found = outcomes(num_ranks)
    assert check in found, f"not reached: a check before it hung or died; done were {sorted(found)}"
    assert found[check] == {}, "\n".join(f"rank {rank}: {text}" for rank, text in found[check].items())
