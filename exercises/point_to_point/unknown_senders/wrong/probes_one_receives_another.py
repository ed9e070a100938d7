"""After a wildcard probe the receive is a wildcard, too, and takes another letter.

status: incorrect
feedback: the receive took another one
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    requests = [comm.Isend(letter, dest) for dest, letter in outgoing]
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        comm.Probe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        letter = np.empty(status.Get_count(MPI.DOUBLE))
        comm.Recv(letter, MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        received.append((status.Get_source(), letter))
    MPI.Request.Waitall(requests)
    return sorted(received, key=lambda pair: pair[0])
