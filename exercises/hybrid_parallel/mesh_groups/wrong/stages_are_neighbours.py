"""Neighbouring ranks are neighbouring stages.

status: incorrect
feedback: pp runs fastest
"""


def mesh_groups(rank, dp, pp, tp):
    p, t, d = rank % pp, rank // pp % tp, rank // (tp * pp)

    def number(d, p, t):
        return (d * tp + t) * pp + p

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
