"""Run under mpiexec: ``run_checks.py LOG FOLDER [--interruptible] [CHECK ...]``.

Every check of the files checks_*.py in the folder, or those that are named, each on its own communicator; writes a log
of JSON lines.
"""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path


def interruptible(comm):
    """The communicator of a %%mpi cell."""
    from labkit.comm.interruptible.communicator import InterruptibleComm
    from labkit.comm.interruptible.monitor import Monitor

    cell = InterruptibleComm(comm)
    cell.bind(
        Monitor(comm.rank, lambda data: None, oversubscribed=True), members=tuple(range(comm.size)), gate=comm.Dup()
    )
    return cell


def run(log: Path, folder: Path, *words: str) -> None:
    from mpi4py import MPI

    def write(**entry):
        with log.open("a") as file:
            file.write(json.dumps(entry) + "\n")

    world = MPI.COMM_WORLD
    sys.path.insert(0, str(folder))
    only = [word for word in words if not word.startswith("--")]
    for path in sorted(folder.glob("checks_*.py")):
        module = importlib.import_module(path.stem)
        for name in sorted(vars(module)):
            if not name.startswith("check_") or (only and name not in only):
                continue
            comm = world.Dup()
            if "--interruptible" in words:
                comm = interruptible(comm)
            if world.rank == 0:
                write(check=name)
            start = time.perf_counter()
            failure = None
            try:
                getattr(module, name)(comm)
            except Exception:
                failure = traceback.format_exc()
                write(check=name, raised=f"rank {world.rank}: {failure}")  # the others may hang for it
            failures = world.allgather(failure)
            if world.rank == 0:
                seconds = time.perf_counter() - start
                write(check=name, failures={r: text for r, text in enumerate(failures) if text}, s=seconds)
            comm.Free()


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
