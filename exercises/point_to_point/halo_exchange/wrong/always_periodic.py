"""The ends are joined whether periodic or not.

status: incorrect
feedback: although the ends are open
"""

from mpi4py import MPI

from labkit.comm.reduction import compute_for

UP, DOWN = 1, 2  # which way a message moves: two ranks may be neighbours on both sides


def halo_exchange(comm, block, width, periodic, work_s):
    above, below = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    end = len(block) - width
    requests = [
        comm.Irecv(block[:width], above, DOWN),
        comm.Irecv(block[end:], below, UP),
        comm.Isend(block[width : 2 * width], above, UP),
        comm.Isend(block[end - width : end], below, DOWN),
    ]
    compute_for(comm, work_s)
    MPI.Request.Waitall(requests)
