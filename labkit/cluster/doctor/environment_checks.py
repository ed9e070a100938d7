"""What the nodes have: interpreter, packages, GPUs, clocks."""

from __future__ import annotations

import os

from labkit.cluster.doctor.diagnose import Finding, names, ok
from labkit.cluster.doctor.evidence import NEEDED, Evidence

SKEW_WARN_S = 1.0
SKEW_FAIL_S = 60.0


def interpreter(evidence: Evidence) -> Finding | None:
    bad = [process for process in evidence.processes if process.stage == "shell"]
    if not bad:
        return None
    path = bad[0].python
    here = ", though it is here" if os.path.isabs(path) and os.path.exists(path) else ""
    return Finding(
        "environment",
        "fail",
        f"the interpreter {path} does not start on {names(process.host for process in bad)}{here}: "
        f"{bad[0].python_error.strip()}",
        "name one that the nodes have: --python PATH or --environment FOLDER, best in a folder that they share "
        "with this machine",
    )


def _python_processes(evidence: Evidence) -> list:
    return [process for process in evidence.processes if process.stage != "shell"]


def packages(evidence: Evidence) -> Finding | None:
    processes = _python_processes(evidence)
    for name in ("mpi4py", *NEEDED):
        lacking = [p for p in processes if p.versions.get(name, "?") == "" or name in p.errors]
        if not lacking:
            continue
        first = lacking[0]
        if first.versions.get(name, "?") != "":
            return Finding(
                "environment",
                "fail",
                f"{name} cannot be imported on {names(p.host for p in lacking)}: {first.errors[name]}",
                f"try it there: {first.python} -c 'import {name}'; install it again in that environment",
            )
        what = "mpich mpi4py" if name == "mpi4py" else name
        return Finding(
            "environment",
            "fail",
            f"the Python package {name} is missing on {names(p.host for p in lacking)} in {first.python}",
            f"install it there: {first.python} -m pip install {what}; or name another environment: "
            f"--environment FOLDER",
        )
    return None


def versions(evidence: Evidence) -> Finding | None:
    processes = _python_processes(evidence)
    if not processes:
        return None
    for name in ("python", "labkit", "ipyparallel", "mpi4py", "numpy"):
        here = _known(evidence.versions.get(name))
        there = {p.host: p.versions[name] for p in processes if _known(p.versions.get(name))}
        digits = 2 if name == "python" else 1 if name == "ipyparallel" else None
        matters = name in ("python", "labkit", "ipyparallel")
        other = {host: v for host, v in there.items() if here and _part(v, digits) != _part(here, digits)}
        if matters and other:
            why = " (cells travel as byte code)" if name == "python" else ""
            version = next(iter(other.values()))
            return Finding(
                "environment",
                "fail",
                f"{name} is {version} on {names(other)}, but {here} on {evidence.host or 'this machine'}{why}",
                f"use the same environment on both sides: --environment FOLDER, or install {name} {here} there",
            )
        if len(set(there.values())) > 1:
            return Finding(
                "environment",
                "warn",
                f"{name} is not the same everywhere: "
                + names(f"{version} on {host}" for host, version in there.items()),
                "use one environment on all nodes, in a folder that they share",
            )
    first = processes[0]
    shown = [
        f"{name} {first.versions[name]}" for name in ("mpi4py", "ipyparallel", "labkit") if first.versions.get(name)
    ]
    return ok("environment", f"Python {first.versions.get('python', '?')} at {first.python}, {', '.join(shown)}")


def _known(version: str | None) -> str | None:
    """A version that a package tells; those that are not installed, but found, tell none."""
    return None if version in (None, "", "?") else version


def _part(version: str, digits: int | None) -> str:
    return version if digits is None else ".".join(version.split(".")[:digits])


def gpus(evidence: Evidence) -> Finding | None:
    processes = _python_processes(evidence)
    if not processes:
        return None
    by_host = {process.host: process.gpus for process in processes}
    without = [host for host, found in by_host.items() if not found]
    if evidence.options.gpus and without:
        return Finding(
            "GPUs",
            "fail",
            f"--gpus {evidence.options.gpus}, but no GPU is seen on {names(without)}",
            "choose a partition that has some, or load what brings nvidia-smi (--module NAME)",
        )
    shown = names(f"{host}: {len(found)} x {found[0]}" for host, found in by_host.items() if found)
    return ok("GPUs", shown or "none asked for, none seen")


def clocks(evidence: Evidence) -> Finding | None:
    known = [p for p in evidence.processes if p.clock_offset_s is not None and evidence.clock_is_foreign]
    if not known:
        return None
    worst = max(known, key=lambda p: abs(p.clock_offset_s) - p.clock_error_s)
    text = f"{_seconds(worst.clock_offset_s, '+')} +- {_seconds(worst.clock_error_s)}"
    sure = abs(worst.clock_offset_s) - worst.clock_error_s
    if sure < SKEW_WARN_S:
        return ok("clocks", f"those of the nodes differ by {text} from this machine's")
    late = [p.host for p in known if abs(p.clock_offset_s) - p.clock_error_s >= SKEW_WARN_S]
    everywhere = len(set(late)) == len({p.host for p in known}) > 1
    whose = f"all nodes, so this machine's clock may be the wrong one ({names(late)})" if everywhere else names(late)
    return Finding(
        "clocks",
        "fail" if sure >= SKEW_FAIL_S else "warn",
        f"the clock differs by {text} on {whose}",
        "an administrator has to let the machines keep time together (chronyd or ntpd); until then times of "
        "files and of "
        "traces mislead, and from 5 minutes on the scheduler refuses credentials",
    )


def _seconds(value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f} s" if abs(value) >= 1 else f"{value * 1e3:{sign}.2g} ms"
