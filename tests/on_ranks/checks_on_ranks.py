"""Checks on real MPI ranks: functions ``check_*(comm)`` of the files ``ranks/checks_*.py`` of a folder of tests.

One launch for each number of ranks runs all checks, because starting ranks and importing torch take seconds; each
check is a test of its own.
"""

import functools
import json
import re
import tempfile
from pathlib import Path

import pytest

from labkit.errors import NotAvailableError
from labkit.hardware.messages import run_mpi

RUNNER = Path(__file__).with_name("run_checks.py")


def names_of_checks(folder: Path) -> list[str]:
    """The checks of a folder, in the order in which they run."""
    return [
        name
        for path in sorted(folder.glob("checks_*.py"))
        for name in sorted(re.findall(r"^def (check_\w+)", path.read_text(), re.M))
    ]


@functools.cache
def outcomes(folder: Path, num_ranks: int, *options: str, deadline_s: float = 100) -> dict[str, dict]:
    """{check: {rank: what went wrong}} of one launch; a hang is told with the check that hung."""
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        log = Path(scratch) / "log"
        try:
            run_mpi([str(RUNNER), str(log), str(folder), *options], num_ranks, deadline_s)
            hang = None
        except NotAvailableError as error:
            hang = str(error)
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found = {line["check"]: line["failures"] for line in lines if "failures" in line}
    if hang:
        started = [line["check"] for line in lines]
        raised = "\n".join(line["raised"] for line in lines[-10:] if "raised" in line)
        found[started[-1] if started else names_of_checks(folder)[0]] = {"all": f"{hang}\n{raised}"}
    return found


def see_that_it_is_well(found: dict[str, dict], check: str) -> None:
    """Fail with what a check said, rank by rank."""
    assert check in found, f"not reached: a check before it hung or died; done were {sorted(found)}"
    assert found[check] == {}, "\n".join(f"rank {rank}: {text}" for rank, text in found[check].items())
