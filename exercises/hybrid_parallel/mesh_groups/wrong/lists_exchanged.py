"""Lists along pp and dp exchanged.

status: incorrect
feedback: dp and pp are exchanged
"""


def mesh_groups(rank, dp, pp, tp):
    t, d, p = rank % tp, rank // tp % dp, rank // (tp * dp)

    def number(d, p, t):
        return (p * dp + d) * tp + t

    along_dp = [number(k, p, t) for k in range(dp)]
    along_pp = [number(d, k, t) for k in range(pp)]
    return (d, p, t), along_pp, along_dp, [number(d, p, k) for k in range(tp)]
