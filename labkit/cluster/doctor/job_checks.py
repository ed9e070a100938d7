"""What the probe's job tells about queue, file system and the way back to this machine."""

from __future__ import annotations

import re

from labkit.cluster.doctor.diagnose import Finding, names, ok
from labkit.cluster.doctor.evidence import Evidence, Job
from labkit.cluster.doctor.refusals import refusal
from labkit.cluster.script import EXIT_NO_ENVIRONMENT, EXIT_NO_MODULE

#: Reasons to wait that pass by themselves.
PASSING = re.compile(
    r"^(None|Resources|Priority|BeginTime|Dependency|Cleaning|Prolog|QOS(Max|Grp).*Jobs.*|AssocMaxJobs.*|)$", re.I
)


def job(evidence: Evidence) -> Finding | None:
    seen = evidence.job
    if seen is None:
        return None
    if seen.started:
        return ok(
            "job",
            f"job {seen.job_id} ran on {names(seen.nodes) or 'its nodes'} after {seen.waited_s:.0f} s in the queue",
        )
    if seen.word == "ended":
        return Finding(
            "job",
            "fail",
            f"job {seen.job_id} ended before it ran: {seen.reason or seen.native}",
            "ask the site's support, with the number of the job",
        )
    lasting = lasting_reason(evidence, seen)
    if lasting is not None:
        return Finding("job", "fail", f"job {seen.job_id} would wait for ever: {lasting.detail}", lasting.remedy)
    return Finding(
        "job",
        "warn",
        f"job {seen.job_id} was still in the queue after {seen.waited_s:.0f} s and has been cancelled: "
        f"{seen.reason.rstrip('.') or seen.native or 'the scheduler gives no reason'}. The nodes could not be "
        f"looked at",
        "wait longer (--wait SECONDS), or ask for less: fewer nodes, a shorter --time, another --partition",
    )


def lasting_reason(evidence: Evidence, seen: Job) -> Finding | None:
    """Why a job would wait for ever; None for what passes, or is not known."""
    native = re.search(r"\((.*)\)", seen.native)  # "PENDING (Resources)"
    reason = native[1] if native else ""
    return None if PASSING.match(reason) else refusal(evidence, reason or seen.reason)


def reports(evidence: Evidence) -> Finding | None:
    if evidence.processes or not evidence.num_asked or (evidence.job is not None and not evidence.job.started):
        return None
    if evidence.launcher_code in (EXIT_NO_MODULE, EXIT_NO_ENVIRONMENT):
        what = "--module" if evidence.launcher_code == EXIT_NO_MODULE else "--environment"
        return Finding(
            "environment",
            "fail",
            _last(evidence).removeprefix("labkit: "),
            f"correct {what}, or make it so that the nodes see it too",
        )
    if evidence.launcher_code not in (None, 0):
        return Finding(
            "launcher",
            "fail",
            f"no process was started; the launcher ended with {evidence.launcher_code}: {_last(evidence)}",
            _launcher_remedy(evidence, evidence.launcher_said),
        )
    if evidence.job is None:
        return Finding("launcher", "fail", "no process was started", "ask for fewer ranks, or try mpiexec by hand")
    return Finding(
        "shared folder",
        "fail",
        f"the job ran, but neither a file in {evidence.folder} nor a connection to {evidence.address} came from "
        f"the nodes",
        "name a folder that this machine and the nodes share: --folder DIR, for example in your home or scratch",
    )


def _last(evidence: Evidence) -> str:
    lines = [line.strip() for line in evidence.launcher_said.splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _launcher_remedy(evidence: Evidence, said: str) -> str:
    if re.search(r"mpi.*(plugin|type|not found)|plugin.*mpi|MPI type", said, re.I):
        return f"this Slurm does not know --mpi {evidence.mpi}; srun --mpi=list names those that it knows"
    if re.search(r"command not found|No such file", said):
        return "load the module that brings the launcher (--module NAME), or activate an environment that has it"
    return "look at the script (%cluster start ... --dry-run); --module loads what the launcher needs"


def shared_folder(evidence: Evidence) -> Finding | None:
    looked = [process for process in evidence.processes if process.folder_seen is not None]
    if not looked or not evidence.options.is_batch:
        return None
    blind = [process.host for process in looked if not process.folder_seen]
    if blind:
        return Finding(
            "shared folder",
            "fail",
            f"{evidence.folder} of {evidence.host or 'this machine'} is not seen on {names(blind)}: "
            f"it is not on a shared file system",
            "name a folder that this machine and the nodes share: --folder DIR, for example in your home or scratch",
        )
    return ok("shared folder", f"{evidence.folder} is seen on {names(process.host for process in looked)}")


def connection(evidence: Evidence) -> Finding | None:
    tried = [process for process in evidence.processes if process.connect_error is not None]
    if not tried or evidence.options.kind == "local":
        return None
    bad = [process for process in tried if process.connect_error]
    way = f"{evidence.address}{f' ({evidence.interface})' if evidence.interface else ''}"
    if not bad:
        through = names(p.interface for p in tried if p.interface)
        return ok("connection", f"the nodes reach {way}{f' through {through}' if through else ''}")
    words, hosts = bad[0].connect_error, names(process.host for process in bad)
    if re.search(r"unreachable|no route", words, re.I):
        why = "no way leads there from the nodes: it is an address of another network"
    elif re.search(r"timed out|timeout", words, re.I):
        why = "nothing comes back: a firewall is in between, or it is an address of another network"
    else:
        why = "a firewall refuses it, or it is the address of another machine"
    return Finding(
        "connection",
        "fail",
        f"{hosts} cannot reach the controller at {way} ({words}): {why}",
        "name the address that this machine has in the nodes' network (--address IP, ip address shows them), or "
        "start the "
        "notebook in a job on a node; if it is a firewall, the site has to open it for TCP from the nodes",
    )
