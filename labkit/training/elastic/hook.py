"""What a worker does between two steps: tell what was done, meet the faults that are planned, agree whether to leave."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from labkit.training.checkpoint import files
from labkit.training.checkpoint.folder import CheckpointFolder
from labkit.training.checkpoint.hook import CheckpointHook
from labkit.training.elastic.plan import Fault
from labkit.training.hooks import TrainingHook

NOTHING, REGROUP, NOTICE = 0, 1, 2


class Leave(Exception):
    """The world ends here, on all ranks, after a checkpoint."""


class ElasticHook(TrainingHook):
    """Called after the checkpoint hook.

    Parameters
    ----------
    tell : callable
        ``tell(event, **details)``, to the supervisor.
    checkpoints : CheckpointHook
    faults : sequence of Fault
        That have not struck yet.
    wishes : callable
        Whether this worker wants to leave or regroup: one of NOTHING, REGROUP, NOTICE.
    """

    def __init__(self, tell: Callable, checkpoints: CheckpointHook, faults: Sequence[Fault], wishes: Callable[[], int]):
        self.tell, self.checkpoints, self.faults, self.wishes = tell, checkpoints, list(faults), wishes
        self.was_noticed = self.has_left = False

    def at_start(self, trainer) -> None:
        files.before_call = None  # of an earlier world, in which this worker had another rank
        for fault in self.faults:
            if fault.kind == "kill-in-write" and fault.rank == trainer.comm.rank:
                self._strike_in_write(fault)
        self._strike(trainer)

    def after_step(self, trainer, record) -> None:
        self.tell("step", step=trainer.num_done, loss=record.loss)
        wish = max(self._strike(trainer), self.wishes())
        if wish == NOTICE:
            self.tell("notice", step=trainer.num_done)
        everyone = np.empty((trainer.comm.size, 1), np.int32)
        trainer.comm.Allgather(np.array([wish], np.int32), everyone)  # the ranks leave after the same step
        if not everyone.any() or trainer.num_done >= trainer.options.num_steps:
            return
        self.was_noticed = wish == NOTICE
        self.checkpoints.save(trainer)
        self.checkpoints.writer.wait()
        self.tell("saved", step=trainer.num_done)
        self.has_left = True
        raise Leave

    def _strike(self, trainer) -> int:
        """Meet the faults of this rank and step; returns what they make it wish."""
        wish = NOTHING
        for fault in list(self.faults):
            if fault.step == trainer.num_done and fault.kind == "join":
                self.faults.remove(fault)
                if trainer.comm.rank == 0:
                    self.tell("fault", fault=str(fault))
                    wish = REGROUP
                continue
            lasts = fault.kind == "slow" and fault.step <= trainer.num_done < fault.step + fault.num_steps
            if fault.rank != trainer.comm.rank or not (fault.step == trainer.num_done or lasts):
                continue
            if fault.kind == "kill-in-write":
                continue
            if fault.step == trainer.num_done:
                self.tell("fault", fault=str(fault))
            if fault.kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault.kind == "stall":
                self.faults.remove(fault)
                os.kill(os.getpid(), signal.SIGSTOP)
            elif fault.kind == "slow":
                time.sleep(fault.seconds)
            elif fault.kind == "notice":
                wish = NOTICE
                end = threading.Timer(fault.seconds, os.kill, (os.getpid(), signal.SIGKILL))  # what the provider does
                end.daemon = True
                end.start()
        return wish

    def _strike_in_write(self, fault: Fault) -> None:
        folder = CheckpointFolder(self.checkpoints.folder.path).of_step(fault.step)

        def strike(call: str, path, **details) -> None:
            if call == "write" and path.parent == folder and ".bin" in path.name:
                view = details["block"][0]
                descriptor = os.open(path, os.O_WRONLY)
                os.pwrite(descriptor, view[: max(1, len(view) // 2)], details["offset"])
                self.tell("fault", fault=str(fault))
                os.kill(os.getpid(), signal.SIGKILL)

        files.before_call = strike
