"""The extra rounds of other numbers of ranks are left out.

status: incorrect
feedback: you leave out f
"""

def choose_allreduce(num_ranks, num_bytes, alpha_s, beta_s_per_byte, gamma_s_per_byte):
    p, n = num_ranks, num_bytes
    k = p.bit_length() - 1
    m = 2**k  # ranks that act, when p is no power of two
    f = 0
    costs = {  # rounds, bytes sent, bytes added
        "recursive_doubling": (k + 2 * f, (k + 2 * f) * n, (k + f) * n),
        "rabenseifner": (2 * k + 2 * f, 2 * n * (m - 1) / m + 2 * f * n, n * (m - 1) / m + f * n),
        "ring": (2 * (p - 1), 2 * n * (p - 1) / p, n * (p - 1) / p),
    }

    def time_s(name):
        rounds, sent, added = costs[name]
        return alpha_s * rounds + beta_s_per_byte * sent + gamma_s_per_byte * added

    return min(costs, key=time_s)
