"""Cells on a Slurm cluster: from the start to the first cell, and a warm cell against one on this machine."""

import functools
import sys
import time
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cluster" / "slurm"))
NUM_RANKS, ROUNDS, NUM_CELLS = 4, 3, 31
USER = "labkit-a"
OWN_START = """
import ipyparallel, time
began = time.monotonic()
cluster = ipyparallel.Cluster(engines="mpi", n=%d)
cluster.start_and_connect_sync()
print("seconds", time.monotonic() - began)
cluster.stop_cluster_sync()
"""


def seconds_of_run(slurm, *command):
    began = time.monotonic()
    done = slurm.as_user(USER, "ctl", *command, timeout=120, check=True)
    return time.monotonic() - began, done.stdout


def first_cell(slurm):
    """Seconds to the end of the first cell, against a bare ``srun`` and ipyparallel's own start of local MPI engines."""
    from notebook_process import Notebook

    ours, other = [], []
    with Contention() as contention:
        for _ in range(ROUNDS):
            bare, _ = seconds_of_run(
                slurm, "srun", "--mpi=pmi2", "-N2", "-n", str(NUM_RANKS), "--ntasks-per-node=2", "python", "-c", "import mpi4py.MPI",
            )
            _, printed = seconds_of_run(slurm, "python", "-c", OWN_START % NUM_RANKS)
            other.append(bare + float(printed.split()[-1]))
            notebook = Notebook(slurm, USER)
            started = notebook.run(f"%cluster start slurm -n {NUM_RANKS} --nodes 2", 120)
            cell = notebook.run("%%mpi\nprint('sum', comm.allreduce(1))")
            assert cell.text.count("sum 4") == NUM_RANKS, started.text + cell.text
            ours.append(started.seconds + cell.seconds)
            notebook.end()
            slurm.wait_until(lambda: not slurm.as_root("ctl", "squeue", "-h").stdout.strip(), 60, "an idle cluster")
    return Comparison(tuple(ours), tuple(other), contention.busy)


def warm_cell(slurm):
    """Seconds of a warm cell on two nodes and on the notebook's machine, in turn."""
    from notebook_process import Notebook

    notebooks = [Notebook(slurm, USER), Notebook(slurm, USER)]
    notebooks[0].run(f"%cluster start slurm -n {NUM_RANKS} --nodes 2", 120)
    notebooks[1].run(f"%%mpi -n {NUM_RANKS}\npass", 120)
    seconds = [[], []]
    with Contention() as contention:
        for number in range(NUM_CELLS + 3):
            for which, notebook in enumerate(notebooks):
                given = notebook.run("%%mpi\ncomm.barrier()")
                assert not given.error, given.text
                if number >= 3:
                    seconds[which].append(given.seconds)
    for notebook in notebooks:
        notebook.end()
    return Comparison(tuple(seconds[0]), tuple(seconds[1]), contention.busy)


def benchmarks():
    from slurm_session import NotHereError, slurm_session

    try:
        with slurm_session() as slurm:
            bound = "srun and ipyparallel's own start"
            yield Benchmark(f"from start to first cell, against {bound}", Goal("<=", 2), functools.partial(first_cell, slurm))
            yield Benchmark("a warm cell on two nodes, against this machine", Goal("<=", 1.5), functools.partial(warm_cell, slurm))
    except NotHereError as reason:
        print(f"cluster: {reason}", file=sys.stderr)
