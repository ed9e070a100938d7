"""A message with the length goes before every letter.

status: over budget
feedback: messages of their own
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    lengths = [np.array([letter.size]) for _, letter in outgoing]
    requests = []
    for (dest, letter), length in zip(outgoing, lengths):
        requests += [comm.Isend(length, dest, 1), comm.Isend(letter, dest, 2)]
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        length = np.empty(1, int)
        comm.Recv(length, MPI.ANY_SOURCE, 1, status)
        letter = np.empty(length[0])
        comm.Recv(letter, status.Get_source(), 2)
        received.append((status.Get_source(), letter))
    MPI.Request.Waitall(requests)
    return sorted(received, key=lambda pair: pair[0])
