"""Finishing requests, whatever machine they are of."""

from __future__ import annotations


def wait_all(requests, statuses=None) -> None:
    """Wait until all requests are complete.

    ``MPI.Request.Waitall`` of their own class: plain, interruptible and simulated requests differ.
    """
    requests = list(requests)
    if requests:
        type(requests[0]).Waitall(requests, statuses)
