"""The doctor's probe on this machine: by mpiexec, by a stand-in for ssh, and by stand-ins for batch systems."""

import os
import stat
import sys
from pathlib import Path

import pytest

from labkit.cluster.address import address_for
from labkit.cluster.doctor import examine
from labkit.errors import UsageError

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(120)]

SSH = """#!/bin/bash
# Runs the command here; host "shut" lets nobody in.
while [ "${1#-}" != "$1" ]; do case $1 in -o) shift 2;; *) shift;; esac; done
host=$1; shift
if [ "$host" = shut ]; then echo "ada@shut: Permission denied (publickey)." >&2; exit 255; fi
exec /bin/bash -c "$*"
"""
#: Submits by running the script at once, on "node" this machine; its jobs are folders.
QSUB = """#!/bin/bash
[ "$1" != --version ] || { echo "pbs_version = 23.06.06"; exit; }
[ ! -e "$FAKE/refuse" ] || { cat "$FAKE/refuse" >&2; exit 1; }
script=${@: -1}
[ -f "$script" ] || { script=$FAKE/stdin; cat >"$script"; }
cp "$script" "$FAKE/script"
(setsid bash "$FAKE/script" >/dev/null 2>&1; touch "$FAKE/ended") >/dev/null 2>&1 </dev/null &
echo "77.server"
"""
QSTAT = """#!/bin/bash
state=R; [ ! -e "$FAKE/ended" ] || state=F
printf 'Job Id: 77.server\\n    job_state = %s\\n    exec_host = here/0\\n    Exit_status = 0\\n\\n' "$state"
"""


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Puts programs of these tests before those of the machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def put(**programs):
        for name, text in programs.items():
            path = folder / name
            path.write_text(text)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    return put


def rows(report):
    return {finding.name: finding for finding in report.findings}


def test_this_machine_is_well(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    said = []
    report = examine(["local", "-n", "3"], progress=said.append)
    assert report.is_well, report.text
    assert "3 ranks on 1 node" in rows(report)["MPI world"].detail
    assert sys.prefix in rows(report)["MPI library"].detail
    assert {process.rank for process in report.evidence.processes} == {0, 1, 2}
    assert said[-1] == "Doctor: done"
    assert not list(tmp_path.glob("labkit-doctor-*"))


def test_interpreter_that_is_not_there():
    report = examine(["local", "-n", "2", "--python", "/opt/nowhere/python"])
    assert report.cause.name == "environment" and "/opt/nowhere/python" in report.cause.detail


def test_hosts_over_ssh(commands):
    commands(ssh=SSH)
    try:
        address_for(["localhost"])
    except UsageError:
        pytest.fail("this test needs a network interface besides loopback")
    report = examine(["ssh", "--hosts", "left,right", "-n", "4"])
    assert report.is_well, report.text
    assert "left, right" in rows(report)["hosts"].detail
    assert "4 ranks" in rows(report)["MPI world"].detail
    assert {process.clock_offset_s is not None for process in report.evidence.processes} == {True}


def test_host_that_lets_nobody_in(commands):
    commands(ssh=SSH)
    report = examine(["ssh", "--hosts", "left,shut", "-n", "2"])
    assert report.cause.name == "hosts" and "shut" in report.cause.detail and "left" not in report.cause.detail
    assert "ssh-copy-id shut" in report.cause.remedy
    assert len([finding for finding in report.findings if finding.status == "fail"]) == 1


def test_job_of_pbs(commands, tmp_path):
    commands(qsub=QSUB, qstat=QSTAT, qdel="#!/bin/bash\necho $* >>$FAKE/deleted\n")
    report = examine(["pbs", "-n", "2", "--folder", str(tmp_path / "shared")])
    assert report.is_well, report.text
    assert "2 ranks on 1 node" in rows(report)["MPI world"].detail
    assert "#PBS" in Path(tmp_path, "script").read_text()
    assert "77.server" in Path(tmp_path, "deleted").read_text()
    assert not list((tmp_path / "shared").iterdir())


def test_refusal_of_pbs(commands, tmp_path):
    commands(qsub=QSUB, qstat=QSTAT, qdel="#!/bin/bash\n")
    Path(tmp_path, "refuse").write_text("qsub: Unknown queue MSG=cannot locate queue\n")
    report = examine(["pbs", "-n", "2", "--partition", "gold"])
    assert report.cause.name == "submission" and "gold" in report.cause.detail and "Unknown queue" in report.cause.detail
    assert not list((tmp_path / ".labkit" / "clusters").iterdir())


@pytest.mark.parametrize("kind, command", [("pbs", "qsub"), ("lsf", "bsub"), ("sge", "qsub"), ("slurm", "sbatch")])
def test_commands_that_are_not_there(kind, command, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    report = examine([kind, "-n", "2"])
    assert report.cause.name == "commands" and command in report.cause.detail
    assert [finding.name for finding in report.findings if finding.status == "fail"] == ["commands"]
