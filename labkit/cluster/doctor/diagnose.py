"""From what was seen to what is wrong: a pure function, the most basic cause first.

A check looks at one thing. It is left out where a check that it builds on has failed, as what it would
find is then only a symptom: ranks on a node without the environment form no MPI world either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.cluster.doctor.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``status`` is ``"ok"``, ``"warn"`` (works, could be better) or ``"fail"``."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    return Finding(name, "ok", detail)


@dataclass(frozen=True, slots=True)
class Check:
    """``look`` returns None where there is nothing to say; ``needs`` are names of earlier checks."""

    name: str
    look: Callable[[Evidence], Finding | None]
    needs: tuple[str, ...] = ()


def all_checks() -> tuple[Check, ...]:
    """The checks, in the order of their findings."""
    from labkit.cluster.doctor import environment_checks, job_checks, mpi_checks, site_checks

    return (
        Check("commands", site_checks.commands),
        Check("credentials", site_checks.credentials, ("commands",)),
        Check("authentication", site_checks.authentication, ("commands", "credentials")),
        Check("scheduler", site_checks.scheduler, ("authentication",)),
        Check("partition", site_checks.partition, ("scheduler",)),
        Check("time limit", site_checks.time_limit, ("partition",)),
        Check("submission", site_checks.submission, ("time limit",)),
        Check("hosts", site_checks.hosts, ("commands",)),
        Check("folder", site_checks.folder),
        Check("address", site_checks.address),
        Check("job", job_checks.job, ("submission", "folder")),
        Check("reports", job_checks.reports, ("job", "address", "hosts")),
        Check("shared folder", job_checks.shared_folder, ("reports",)),
        Check("interpreter", environment_checks.interpreter, ("shared folder",)),
        Check("environment", environment_checks.packages, ("interpreter",)),
        Check("versions", environment_checks.versions, ("environment",)),
        Check("connection", job_checks.connection, ("reports", "address")),
        Check("MPI library", mpi_checks.library, ("environment",)),
        Check("MPI world", mpi_checks.world, ("MPI library",)),
        Check("network", mpi_checks.network, ("MPI world",)),
        Check("GPU buffers", mpi_checks.gpu_buffers, ("MPI world",)),
        Check("GPUs", environment_checks.gpus, ("interpreter",)),
        Check("clocks", environment_checks.clocks, ("credentials", "connection")),
    )


def diagnose(evidence: Evidence) -> list[Finding]:
    """What is well and what is not.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    list of Finding
        In the order of the checks. The first with ``"fail"`` is the cause to remove first; those that
        follow it are independent of it.

    Examples
    --------
    >>> from labkit.cluster.options import ClusterOptions
    >>> evidence = Evidence(ClusterOptions("slurm"), "Slurm", host="laptop", found={"sbatch": ""})
    >>> [(finding.name, finding.status) for finding in diagnose(evidence)]
    [('commands', 'fail')]
    """
    findings, unsound = [], set()
    for check in all_checks():
        if unsound.intersection(check.needs):
            unsound.add(check.name)
            continue
        finding = check.look(evidence)
        if finding is not None:
            findings.append(finding)
            if finding.status == "fail":
                unsound.add(check.name)
    return findings


def names(words, limit: int = 6) -> str:
    """Names in a sentence, each once."""
    words = list(dict.fromkeys(words))
    return ", ".join(words[:limit]) + (f" and {len(words) - limit} more" if len(words) > limit else "")
