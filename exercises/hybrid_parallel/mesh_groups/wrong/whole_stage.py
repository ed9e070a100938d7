"""All ranks of a stage and of a replica, not those along one axis.

status: incorrect
feedback: keeps two coordinates
"""


def mesh_groups(rank, dp, pp, tp):
    t, d, p = rank % tp, rank // tp % dp, rank // (tp * dp)
    ranks = range(dp * pp * tp)
    along_dp = [r for r in ranks if r // (tp * dp) == p]
    along_pp = [r for r in ranks if r // tp % dp == d]
    return (d, p, t), along_dp, along_pp, [r for r in ranks if r // tp == rank // tp]
