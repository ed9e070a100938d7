"""The checks of ranks/ on real ranks: one launch for each number of ranks, because importing torch takes seconds."""

import functools
import json
import re
import tempfile
from pathlib import Path

import pytest

from labkit.errors import NotAvailableError
from labkit.hardware.messages import run_mpi

RANKS = Path(__file__).parent / "ranks"
RUNNER = Path(__file__).parents[2] / "mpi" / "point_to_point" / "ranks" / "run_checks.py"
CHECKS = [  # in the order in which they run
    name
    for path in sorted(RANKS.glob("checks_*.py"))
    for name in sorted(re.findall(r"^def (check_\w+)", path.read_text(), re.M))
]
MACHINES = {"2": (2, []), "3-interruptible": (3, ["--interruptible"])}
DEADLINE_S = 240


@functools.cache
def outcomes(machine):
    """{check: {rank: what went wrong}} of one launch; a hang is told with the check that hung."""
    num_ranks, options = MACHINES[machine]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        log = Path(folder) / "log"
        try:
            run_mpi([str(RUNNER), str(log), f"--folder={RANKS}", *options], num_ranks, DEADLINE_S)
            hang = None
        except NotAvailableError as error:
            hang = str(error)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found = {line["check"]: line["failures"] for line in lines if "failures" in line}
    if hang:
        raised = "\n".join(line["raised"] for line in lines[-10:] if "raised" in line)
        found[lines[-1]["check"] if lines else CHECKS[0]] = {"all": f"{hang}\n{raised}"}
    return found


@pytest.mark.mpi
@pytest.mark.timeout(DEADLINE_S + 60)
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("machine", MACHINES)
def test_on_real_ranks(machine, check):
    found = outcomes(machine)
    assert check in found, f"not reached: a check before it hung or died; done were {sorted(found)}"
    assert found[check] == {}, "\n".join(f"rank {rank}: {text}" for rank, text in found[check].items())
