"""Finishing nonblocking operations: one way for real and for simulated requests.

::

    requests = [comm.Irecv(recvbuf, source=left), comm.Isend(sendbuf, dest=right)]
    wait_all(requests)      # not MPI.Request.Waitall: simulated requests are of another class
"""

from __future__ import annotations

from collections.abc import Sequence


def wait_all(requests: Sequence) -> None:
    """Wait until every request is complete: ``Waitall`` of the class that the requests belong to.

    Parameters
    ----------
    requests : sequence of requests
        What ``Isend``, ``Irecv``, ``Send_init``, ``Recv_init`` of one communicator returned. It may be empty.

    Notes
    -----
    ``Waitall`` needs no order: a receive may complete before a send that was started earlier.
    """
    if requests:
        type(requests[0]).Waitall(requests)
