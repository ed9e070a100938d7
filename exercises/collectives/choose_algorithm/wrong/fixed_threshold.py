"""Short vectors by recursive doubling, long ones by a ring, on every machine.

status: incorrect
feedback: a size alone does not decide
"""


def choose_allreduce(num_ranks, num_bytes, alpha_s, beta_s_per_byte, gamma_s_per_byte):
    if num_bytes <= 2048:
        return "recursive_doubling"
    if num_ranks & (num_ranks - 1) == 0:
        return "rabenseifner"
    return "ring"
