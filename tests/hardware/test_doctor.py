"""The doctor: findings of made-up troubles, and of this machine."""

import json
import sys

import pytest

from labkit.errors import NotAvailableError
from labkit.hardware import doctor
from labkit.hardware.doctor import Finding, check_mpi, report
from labkit.hardware.topology import Topology

POOR = Topology("one core", 1, 1, 1, 1, 1, "", (), 10**9, 10**8)


def answer(*sizes):
    line = '{{"size": {}, "library": "MPICH  Version:  5", "level": 3}}'
    return lambda arguments, ranks, deadline: "\n".join(line.format(size) for size in sizes)


def refuse(arguments, ranks, deadline):
    raise NotAvailableError("2 MPI ranks did not answer within 60 s")


@pytest.mark.parametrize(
    ("run", "status", "words"),
    [
        (answer(2), "ok", "MPICH Version: 5, thread level MULTIPLE"),
        (answer(1, 1), "missing", "2 worlds of size 1"),
        (answer(), "missing", "did not answer"),
        (refuse, "missing", "within 60 s"),
        (lambda *a: "{broken", "missing", "did not answer"),
    ],
)
def test_mpi(run, status, words):
    finding = check_mpi(run)
    assert finding.status == status
    assert words in finding.detail
    assert bool(finding.remedy) == (status != "ok")


def test_everything_lacking_has_a_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "version_info", (3, 9))
    findings = [
        doctor.check_python(), doctor.check_compiler(), doctor.check_browser(), doctor.check_slurm(),
        doctor.check_gpus(POOR), doctor.check_cores(POOR), doctor.check_memory(POOR), doctor.check_caches(POOR),
    ]
    assert all(f.status != "ok" and f.remedy for f in findings)
    assert findings[0].status == "missing"
    text = report(findings)
    assert text.count("->") == len(findings)
    assert "\x1b" not in text and "\x1b[31mNO" in report(findings, colour=True)


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("optional", 0), ("missing", 1)])
def test_exit_status(monkeypatch, capsys, status, code):
    monkeypatch.setattr(doctor, "diagnose", lambda: [Finding("thing", status, "detail", "remedy")])
    assert doctor.main([]) == code
    assert ("Not ready: thing." in capsys.readouterr().out) == (code == 1)
    assert doctor.main(["--json"]) == code
    assert json.loads(capsys.readouterr().out) == [
        {"name": "thing", "status": status, "detail": "detail", "remedy": "remedy"}
    ]


@pytest.mark.mpi
def test_this_environment_is_healthy():
    findings = {finding.name: finding for finding in doctor.diagnose()}
    assert {"Python", "MPI", "JupyterLab", "cores", "caches", "memory", "compiler", "GPUs", "browser", "Slurm"} <= set(findings)
    for name in ("Python", "MPI", "JupyterLab"):
        assert findings[name].status == "ok", findings[name]
