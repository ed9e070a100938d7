"""It waits for its own sends before it receives.

status: deadlocked
feedback: Waitall comes after the receives
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    requests = [comm.Isend(letter, dest) for dest, letter in outgoing]
    MPI.Request.Waitall(requests)
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        message = comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        letter = np.empty(status.Get_count(MPI.DOUBLE))
        message.Recv(letter)
        received.append((status.Get_source(), letter))
    return sorted(received, key=lambda pair: pair[0])
