"""The axes the other way round: dp fastest, tp slowest.

status: incorrect
feedback: tp runs slowest
"""


def mesh_groups(rank, dp, pp, tp):
    d, p, t = rank % dp, rank // dp % pp, rank // (dp * pp)

    def number(d, p, t):
        return (t * pp + p) * dp + d

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
