"""Why schedulers refuse jobs, or let them wait for ever."""

from __future__ import annotations

import re

from labkit.cluster.doctor.diagnose import Finding, names
from labkit.cluster.doctor.evidence import Evidence, Partition

#: What a refused job is refused for: (words of the scheduler, what is wrong, what to do).
REFUSALS = (
    (
        r"invalid ?account|account.*not (allowed|permitted|known)|accountnotallowed|unknown project",
        "the account{account} is refused{partition}",
        "name the account (project) of your computing time with --account; sacctmgr show associations user=$USER or "
        "the site's support names it",
    ),
    (r"qos", "the quality of service (QOS) is refused", "name one that you may use: --directive=--qos=NAME"),
    (
        r"group not permitted|not permitted to use this partition|access/permission denied|not allowed to submit|"
        r"PartitionNotAllowed|unauthorized",
        "partition{partition_name} is refused: you may not use it",
        "choose another with --partition{others}",
    ),
    (
        r"invalid partition|unknown queue|no such queue|does not exist",
        "there is no partition{partition_name}",
        "choose one with --partition{others}",
    ),
    (
        r"time limit is invalid|TimeLimit|walltime|RUNLIMIT|h_rt",
        "the time limit{time} is more than is allowed",
        "ask for less with --time",
    ),
    (
        r"generic resource|gres",
        "the GPUs that were asked for (--gpus {gpus}) do not exist so",
        "leave --gpus out, or choose a partition that has them",
    ),
    (r"memory", "more memory was asked for than a node has", "ask for less with --memory"),
    (
        r"node configuration is not available|node count|more processors|NodeLimit|BadConstraints|feature",
        "no nodes are such as was asked for ({asked})",
        "ask for less on a node (the scheduler shows what they have; Slurm: sinfo -N -o '%N %c %m %G'), or for "
        "another --partition",
    ),
)


def chosen_partition(evidence: Evidence) -> Partition | None:
    """The partition that the job would run in, as far as it is known."""
    wanted = evidence.options.partition
    return next((p for p in evidence.partitions if (p.name == wanted if wanted else p.is_default)), None)


def other_partitions(evidence: Evidence) -> str:
    """Other partitions, as a hint for ``--partition``."""
    others = [p.name for p in evidence.partitions if p.is_up and p.num_usable and p.name != evidence.options.partition]
    return f": {names(others)}" if others else " (sinfo shows them)"


def refusal(evidence: Evidence, words: str) -> Finding | None:
    """The finding for a job that is refused, or waits for ever, with these words; None if they are not known."""
    options = evidence.options
    values = {
        "account": f" {options.account}" if options.account else " (none is given)",
        "partition": f" in partition {options.partition}" if options.partition else "",
        "partition_name": f" {options.partition}" if options.partition else "",
        "others": other_partitions(evidence),
        "time": f" {options.time}" if options.time else "",
        "gpus": options.gpus,
        "asked": " ".join(
            filter(
                None,
                [
                    f"-n {options.num_ranks}",
                    f"--nodes {options.num_nodes}" if options.num_nodes else "",
                    f"--memory {options.memory}" if options.memory else "",
                    f"--gpus {options.gpus}" if options.gpus else "",
                    *options.directives,
                ],
            )
        ),
    }
    for pattern, detail, remedy in REFUSALS:
        if re.search(pattern, words, re.I):
            return Finding(
                "submission",
                "fail",
                f"{detail.format(**values)}: {evidence.title} says: {words}",
                remedy.format(**values),
            )
    return None


def telling_line(text: str, otherwise: str) -> str:
    """The line of a refusal that says why."""
    for line in text.splitlines():
        if any(re.search(pattern, line, re.I) for pattern, _, _ in REFUSALS):
            return line.strip()
    return otherwise
