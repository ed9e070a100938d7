"""Neighbouring ranks are replicas.

status: incorrect
feedback: dp runs fastest
"""


def mesh_groups(rank, dp, pp, tp):
    d, t, p = rank % dp, rank // dp % tp, rank // (tp * dp)

    def number(d, p, t):
        return (p * tp + t) * dp + d

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
