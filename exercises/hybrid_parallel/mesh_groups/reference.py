def mesh_groups(rank, dp, pp, tp):
    """Digits of the rank, the last one first; a group changes one digit."""
    rest, t = divmod(rank, tp)
    p, d = divmod(rest, dp)

    def number(d, p, t):
        return (p * dp + d) * tp + t

    return (
        (d, p, t), [number(k, p, t) for k in range(dp)], [number(d, k, t) for k in range(pp)],
        [number(d, p, k) for k in range(tp)],
    )
