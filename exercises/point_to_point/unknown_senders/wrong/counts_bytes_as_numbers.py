"""The size in bytes is taken for the number of elements.

status: incorrect
feedback: Get_count() counts bytes
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    requests = [comm.Isend(letter, dest) for dest, letter in outgoing]
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        message = comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        letter = np.zeros(status.Get_count())
        message.Recv(letter)
        received.append((status.Get_source(), letter))
    MPI.Request.Waitall(requests)
    return sorted(received, key=lambda pair: pair[0])
