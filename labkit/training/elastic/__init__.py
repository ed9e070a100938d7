"""Elastic training: ranks leave, die, stall and join, and the run goes on from its last checkpoint.

=============  =====================================================================================================
plan.py        faults that are wanted: ``kill rank 1 at step 40; join at step 100``
job.py         what to train, by name
supervisor.py  ``run_elastic``: starts workers, forms worlds of them, and forms new ones when something happens
processes.py   the processes of the workers, each the leader of a group of its own
worker.py      one worker: waits for a world, trains in it until it ends
hook.py        what a worker does between steps: tell, strike, agree whether to leave
gloo.py        the communicator of one world
report.py      what happened: worlds, steps, faults, lost work
=============  =====================================================================================================

MPI (MPICH) ends the whole job when one of its processes is killed. The workers here are plain processes that talk by
Gloo over TCP: when one dies, the connections of the others break, they say so, and the supervisor forms a new world of
those that are left. They need not start again: what a rank has to do is to read the checkpoint.
"""

_HOMES = {"run_elastic": "supervisor", "FaultPlan": "plan", "Fault": "plan", "Job": "job", "ElasticReport": "report"}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
