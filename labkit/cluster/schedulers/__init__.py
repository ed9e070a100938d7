"""The schedulers of clusters: Slurm, PBS, LSF and SGE, asked through their own command line tools."""

from __future__ import annotations

from labkit.cluster.schedulers.scheduler import JobState, QueuePosition, Scheduler
from labkit.errors import UsageError

__all__ = ["JobState", "QueuePosition", "Scheduler", "find_scheduler"]


def find_scheduler(kind: str) -> Scheduler:
    """The scheduler of a kind of cluster.

    Examples
    --------
    >>> find_scheduler("slurm").submit_command
    ('sbatch', '--parsable')
    """
    from labkit.cluster.schedulers.lsf import Lsf
    from labkit.cluster.schedulers.pbs import Pbs
    from labkit.cluster.schedulers.sge import Sge
    from labkit.cluster.schedulers.slurm import Slurm

    classes = {scheduler.name: scheduler for scheduler in (Slurm, Pbs, Lsf, Sge)}
    if kind not in classes:
        raise UsageError(f"A cluster of kind {kind!r} has no scheduler. Those with one are: {', '.join(classes)}.")
    return classes[kind]()
