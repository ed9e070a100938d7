"""All letters are sent with blocking sends before any is received.

status: deadlocked
feedback: Start the sends with Isend
"""

import numpy as np
from mpi4py import MPI


def exchange_letters(comm, outgoing, num_incoming):
    for dest, letter in outgoing:
        comm.Send(letter, dest)
    received = []
    status = MPI.Status()
    for _ in range(num_incoming):
        message = comm.Mprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)
        letter = np.empty(status.Get_count(MPI.DOUBLE))
        message.Recv(letter)
        received.append((status.Get_source(), letter))
    return sorted(received, key=lambda pair: pair[0])
