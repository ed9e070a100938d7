"""pp fastest, tp slowest.

status: incorrect
feedback: tp runs slowest
"""


def mesh_groups(rank, dp, pp, tp):
    p, d, t = rank % pp, rank // pp % dp, rank // (dp * pp)

    def number(d, p, t):
        return (t * dp + d) * pp + p

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
