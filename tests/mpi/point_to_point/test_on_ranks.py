"""The checks of ranks/ on real ranks (one launch for each number of ranks) and on simulated ones."""

import functools
import importlib
import json
import re
import sys
import tempfile
from pathlib import Path

import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import NotAvailableError
from labkit.hardware.messages import run_mpi

RANKS = Path(__file__).parent / "ranks"
CHECKS = sorted(
    name for path in RANKS.glob("checks_*.py") for name in re.findall(r"^def (check_\w+)", path.read_text(), re.M)
)
MACHINES = {"1": (1, []), "2": (2, []), "3": (3, []), "5": (5, []), "3-interruptible": (3, ["--interruptible"])}


SIMULATED = {"simulated-3": 3, "simulated-5": 5}
REAL_CLOCK = {  # they wait, sleep or compute by the clock of this computer, which simulated ranks do not look at
    "check_deadlock_patterns_get_stuck", "check_overlap_computes_in_parts_between_start_and_wait",
    "check_send_modes_by_the_real_clock",
}


@functools.cache
def outcomes(machine):
    """{check: {rank: what went wrong}} of one launch; a hang is told with the check that hung."""
    num_ranks, options = MACHINES[machine]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        try:
            run_mpi([str(RANKS / "run_checks.py"), str(log), *options], num_ranks, 90)
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


def test_the_checks_are_found():
    assert len(CHECKS) >= 20


@pytest.mark.mpi
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("machine", MACHINES)
def test_on_real_ranks(machine, check):
    found = outcomes(machine)
    assert check in found, f"not reached: a check before it hung or died; done were {sorted(found)}"
    assert found[check] == {}, "\n".join(f"rank {rank}: {text}" for rank, text in found[check].items())


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
