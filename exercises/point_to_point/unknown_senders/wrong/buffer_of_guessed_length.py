"""Letters are received into a buffer that was large enough in a test.

status: crashed
feedback: longer than the buffer
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    requests = [comm.Isend(letter, dest) for dest, letter in outgoing]
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        letter = np.empty(1000)
        comm.Recv(letter, MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        received.append((status.Get_source(), letter[: status.Get_count(MPI.DOUBLE)]))
    MPI.Request.Waitall(requests)
    return sorted(received, key=lambda pair: pair[0])
