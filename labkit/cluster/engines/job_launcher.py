"""ipyparallel's batch launchers, submitting and cancelling with the care of :mod:`labkit.cluster.schedulers`."""

from __future__ import annotations

from labkit.cluster.schedulers import Scheduler

LAUNCHERS = {"slurm": "Slurm", "pbs": "PBS", "lsf": "LSF", "sge": "SGE"}


def job_launcher(scheduler: Scheduler) -> type:
    """ipyparallel's launcher of engines for a scheduler; a refusal of the scheduler arrives in its own words."""
    from ipyparallel.cluster import launcher

    base = getattr(launcher, f"{LAUNCHERS[scheduler.name]}EngineSetLauncher")

    def start(self, n):
        self.write_batch_script(n)
        self.job_id = scheduler.submit(self.batch_file)
        self.notify_start(self.job_id)
        return self.job_id

    def stop(self):
        scheduler.cancel(self.job_id)
        self.notify_stop({"job_id": self.job_id})

    return type(f"Labkit{base.__name__}", (base,), {"start": start, "stop": stop, "__doc__": job_launcher.__doc__})
