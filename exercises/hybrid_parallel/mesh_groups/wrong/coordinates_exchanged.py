"""Coordinates in the order of the numbering.

status: incorrect
feedback: the coordinates are not
"""


def mesh_groups(rank, dp, pp, tp):
    t, d, p = rank % tp, rank // tp % dp, rank // (tp * dp)

    def number(d, p, t):
        return (p * dp + d) * tp + t

    return (
        (p, d, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
