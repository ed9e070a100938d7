"""The letters are returned as they came.

status: incorrect
feedback: in the order of their arrival
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    requests = [comm.Isend(letter, dest) for dest, letter in outgoing]
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        message = comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        letter = np.empty(status.Get_count(MPI.DOUBLE))
        message.Recv(letter)
        received.append((status.Get_source(), letter))
    MPI.Request.Waitall(requests)
    return received
