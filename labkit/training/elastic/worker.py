"""One worker, a process: ``python -m labkit.training.elastic.worker FD``. Orders come on stdin, events go to FD, a line of
JSON each. It ends when stdin does, so no worker outlives its supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path


class Worker:
    """Waits for an order to form a world, trains in it until it ends, and waits again.

    Parameters
    ----------
    descriptor : int
        Where events go.
    """

    def __init__(self, descriptor: int):
        self.descriptor, self.lock = descriptor, threading.Lock()
        self.orders: queue.Queue = queue.Queue()
        self.is_to_regroup = False
        self.notice_file: Path | None = None
        self.signalled = threading.Event()

    def tell(self, event: str, **details) -> None:
        """An event, written at once: the next moment may be the last."""
        with self.lock, contextlib.suppress(OSError):
            os.write(self.descriptor, (json.dumps({"event": event, "at": time.monotonic(), **details}) + "\n").encode())

    def listen(self) -> None:
        """In a thread: orders that come while the worker trains."""
        for line in sys.stdin:
            order = json.loads(line)
            if order["order"] == "regroup":
                self.is_to_regroup = True
            else:
                self.orders.put(order)
        os._exit(0)

    def wishes(self) -> int:
        """What this worker wants after a step: a notice comes as SIGTERM or as a file."""
        from labkit.training.elastic.hook import NOTHING, NOTICE, REGROUP

        if self.signalled.is_set() or (self.notice_file is not None and self.notice_file.exists()):
            return NOTICE
        return REGROUP if self.is_to_regroup else NOTHING

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: self.signalled.set())
        threading.Thread(target=self.listen, daemon=True).start()
        import mpi4py

        mpi4py.rc.initialize = False  # its names are used, its processes are not
        import torch

        torch.set_num_threads(1)
        while (order := self.orders.get())["order"] != "end":
            if order["order"] == "prepare":
                self.prepare(order)
            elif self.train(order):
                return

    def prepare(self, order: dict) -> None:
        """Import and build once what a world will need: it takes seconds, and recovering should not."""
        import labkit.training.elastic.gloo
        import labkit.training.elastic.hook
        import labkit.training.trainer  # noqa: F401
        from labkit.training.elastic.job import Job

        try:
            Job(**order["job"]).build()
        except Exception as error:
            self.tell("failed", text=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
            return
        self.tell("ready")

    def train(self, order: dict) -> bool:
        """One world; returns whether this worker is to end."""
        from labkit.errors import LabkitError
        from labkit.training.elastic.gloo import GlooComm, is_broken

        self.is_to_regroup = False
        self.notice_file = Path(order["notice_file"]) if order["notice_file"] else None
        comm, hooks = None, []
        try:
            comm = GlooComm(Path(order["meeting"]), order["rank"], order["size"], order["timeout_s"])
            self._train(comm, order, hooks)
            return False
        except Exception as error:
            if hooks and hooks[0].has_left:
                self.tell("idle", why="left")
                return hooks[0].was_noticed
            if isinstance(error, LabkitError) or not is_broken(error):
                notes = " ".join(getattr(error, "__notes__", ()))
                self.tell("failed", text=f"{error} {notes}".strip(), trace=traceback.format_exc())
            else:
                self.tell("idle", why="broken", text=str(error)[:300])
            return False
        finally:
            if comm is not None:
                comm.leave()

    def _train(self, comm, order: dict, hooks: list) -> None:
        import torch

        from labkit.training.checkpoint.hook import CheckpointHook
        from labkit.training.elastic.hook import ElasticHook
        from labkit.training.elastic.job import Job
        from labkit.training.elastic.plan import FaultPlan
        from labkit.training.trainer import Trainer

        job = Job(**order["job"])
        model, data, options = job.build()
        torch.manual_seed(options.seed * 1_000_003 + comm.rank)  # what dropout draws
        checkpoints = CheckpointHook(order["folder"], every_steps=order["every_steps"], every_s=order["every_s"], keep=2)
        hook = ElasticHook(self.tell, checkpoints, FaultPlan.parse(order["plan"]).faults, self.wishes)
        hooks.append(hook)
        trainer = Trainer(
            comm, model, data, options, strategy=job.strategy, hooks=(checkpoints, hook), progress=False, timeline=False
        )
        with trainer:
            loaded = checkpoints.resume(trainer)
            self.tell("resumed", step=trainer.num_done, notes=list(loaded.notes) if loaded and comm.rank == 0 else [])
            report = trainer.run()
        self.tell(
            "done", losses=checkpoints.losses, accuracy=report.accuracy, digests=list(report.digests), step=trainer.num_done
        )


if __name__ == "__main__":
    Worker(int(sys.argv[1])).run()
