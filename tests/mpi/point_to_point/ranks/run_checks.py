"""Run under mpiexec: every check of checks_*.py, each on its own communicator; writes a log of JSON lines.

The checks are those beside this file, or of ``--folder=``.
"""

import importlib
import json
import sys
import time
import traceback
from pathlib import Path

from mpi4py import MPI

world = MPI.COMM_WORLD
log_path = Path(sys.argv[1])
folder = next((Path(w.partition("=")[2]) for w in sys.argv if w.startswith("--folder=")), Path(__file__).parent)
sys.path.insert(0, str(folder))
only = [word for word in sys.argv[2:] if not word.startswith("--")]


def interruptible(comm):
    """The communicator of a %%mpi cell."""
    from labkit.comm.interruptible.communicator import InterruptibleComm
    from labkit.comm.interruptible.monitor import Monitor

    cell = InterruptibleComm(comm)
    cell.bind(
        Monitor(comm.rank, lambda data: None, oversubscribed=True), members=tuple(range(comm.size)), gate=comm.Dup()
    )
    return cell


def write(**entry):
    with log_path.open("a") as log:
        log.write(json.dumps(entry) + "\n")


for path in sorted(folder.glob("checks_*.py")):
    module = importlib.import_module(path.stem)
    for name in sorted(vars(module)):
        if not name.startswith("check_") or (only and name not in only):
            continue
        comm = world.Dup()
        if "--interruptible" in sys.argv:
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
