"""Messages up and down have the same tag, and two ranks on a ring confuse them.

status: incorrect
feedback: Tag them by the direction
"""

from mpi4py import MPI

from labkit.comm.reduction import compute_for


def halo_exchange(comm, block, width, periodic, work_s):
    above, below = comm.rank - 1, comm.rank + 1
    if periodic:
        above, below = above % comm.size, below % comm.size
    else:
        above = above if above >= 0 else MPI.PROC_NULL
        below = below if below < comm.size else MPI.PROC_NULL
    end = len(block) - width
    requests = [
        comm.Irecv(block[:width], above),
        comm.Irecv(block[end:], below),
        comm.Isend(block[width : 2 * width], above),
        comm.Isend(block[end - width : end], below),
    ]
    compute_for(comm, work_s)
    MPI.Request.Waitall(requests)
