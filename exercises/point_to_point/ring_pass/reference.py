def ring_pass(comm, own):
    """Rank 0 sends first and receives last; the others receive, change the token and send it on."""
    token = own.copy()
    if comm.size == 1:
        return token
    left, right = (comm.rank - 1) % comm.size, (comm.rank + 1) % comm.size
    if comm.rank == 0:
        comm.Send(own, right)
        comm.Recv(token, left)
    else:
        comm.Recv(token, left)
        token = (2 * token + own).astype(own.dtype)
        comm.Send(token, right)
    return token
