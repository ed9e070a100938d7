"""pp runs faster than dp.

status: incorrect
feedback: pp runs faster than dp
"""


def mesh_groups(rank, dp, pp, tp):
    t, p, d = rank % tp, rank // tp % pp, rank // (tp * pp)

    def number(d, p, t):
        return (d * pp + p) * tp + t

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
