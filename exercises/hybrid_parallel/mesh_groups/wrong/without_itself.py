"""Groups of the others alone.

status: incorrect
feedback: rank itself is missing
"""


def mesh_groups(rank, dp, pp, tp):
    t, d, p = rank % tp, rank // tp % dp, rank // (tp * dp)

    def number(d, p, t):
        return (p * dp + d) * tp + t

    along_dp = [number(k, p, t) for k in range(dp) if k != d]
    along_pp = [number(d, k, t) for k in range(pp) if k != p]
    along_tp = [number(d, p, k) for k in range(tp) if k != t]
    return (d, p, t), along_dp, along_pp, along_tp
