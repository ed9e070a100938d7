"""Run as ``mpiexec -n R python hybrid_rank.py OPTIONS``: one rank of Jacobi's method, with threads.

OPTIONS is JSON: the folder with ``grid.npy`` and ``result.npy``, num_threads, num_sweeps, repetitions. Each rank reads
its rows of the one and writes its rows of the other; rank 0 prints the times as JSON. See :mod:`labkit.openmp.hybrid`.
"""

import json
import os
import sys
from pathlib import Path


def take_cores(node, num_threads: int) -> None:
    """Of the cores of this machine, this rank takes ``num_threads`` of its own, if there are enough for all ranks."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    if node.size * num_threads <= len(cores):
        os.sched_setaffinity(0, cores[node.rank * num_threads : (node.rank + 1) * num_threads])


def rows_of(rank: int, size: int, num_rows: int) -> tuple[int, int]:
    """The inner rows (start, stop) of a rank; inner rows are 1 to num_rows - 2 of the grid."""
    quotient, rest = divmod(num_rows - 2, size)
    start = 1 + rank * quotient + min(rank, rest)
    return start, start + quotient + (rank < rest)


def exchange(comm, grid) -> None:
    """The edge rows of this rank go to its neighbours, theirs into the rows beyond the edge."""
    from mpi4py import MPI

    above = comm.rank - 1 if comm.rank > 0 else MPI.PROC_NULL
    below = comm.rank + 1 if comm.rank < comm.size - 1 else MPI.PROC_NULL
    comm.Sendrecv(grid[1], above, recvbuf=grid[-1], source=below)
    comm.Sendrecv(grid[-2], below, recvbuf=grid[0], source=above)


def sweeps(comm, relax, old, new, num_sweeps: int):
    """The band of this rank after ``num_sweeps`` sweeps; both grids begin with all its rows and those beyond."""
    for _ in range(num_sweeps):
        exchange(comm, old)
        relax(old.shape[0] - 2, old, new)
        old, new = new, old
    return old


def main() -> None:
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    options = json.loads(sys.argv[1])
    num_threads = options["num_threads"]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # read when NumPy is loaded, below
        os.environ[name] = str(num_threads)
    take_cores(comm.Split_type(MPI.COMM_TYPE_SHARED), num_threads)

    import numpy as np

    from labkit.openmp.kernels.jacobi import relax_rows
    from labkit.openmp.team import Team

    team = Team(num_threads)

    def relax(rows, old, new):
        if comm.size == num_threads == 1:
            relax_rows(0, rows, old, new)  # serial: without a team
        else:
            team.parallel_for(relax_rows, rows, old, new)

    grid = np.load(Path(options["folder"], "grid.npy"), mmap_mode="r")
    start, stop = rows_of(comm.rank, comm.size, len(grid))
    band = np.array(grid[start - 1 : stop + 1])
    sweeps(comm, relax, band.copy(), band.copy(), 1)  # not counted: threads start, compiled code is loaded
    times_s = []
    for _ in range(options["repetitions"]):
        old, new = band.copy(), band.copy()
        comm.Barrier()
        begin = MPI.Wtime()
        final = sweeps(comm, relax, old, new, options["num_sweeps"])
        times_s.append(comm.allreduce(MPI.Wtime() - begin, MPI.MAX))
    result = np.load(Path(options["folder"], "result.npy"), mmap_mode="r+")
    result[start:stop] = final[1:-1]
    if comm.rank == 0:
        result[0] = final[0]
    if comm.rank == comm.size - 1:
        result[-1] = final[-1]
    result.flush()
    comm.Barrier()
    if comm.rank == 0:
        print(json.dumps({"size": comm.size, "times_s": times_s}))


if __name__ == "__main__":
    main()
