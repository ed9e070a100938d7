"""The checks of arguments that the functions of ``labkit.mpi`` share.

Every message names the call and the rank, says the rule and the values, and gives the next step.
"""

from __future__ import annotations

import numpy as np

from labkit.errors import UsageError


def usage_error(comm, call: str, problem: str) -> UsageError:
    """The error to raise: ``ping_pong on rank 0 of 1: needs 2 ranks ...``."""
    return UsageError(f"{call} on rank {comm.rank} of {comm.size}: {problem}")


def check_num_ranks(comm, call: str, least: int) -> None:
    """At least ``least`` ranks."""
    if comm.size < least:
        raise usage_error(
            comm, call, f"needs at least {least} ranks, but there are {comm.size}. Start more: %%mpi -n {least}"
        )


def check_count(comm, call: str, name: str, value, least: int = 0) -> int:
    """A whole number, not below ``least``; NumPy's integers are fine, True is not."""
    if isinstance(value, bool | np.bool) or not isinstance(value, int | np.integer) or value < least:
        raise usage_error(
            comm, call, f"{name} must be a whole number of at least {least}, but it is {value!r}. Pass such a number."
        )
    return int(value)


def check_seconds(comm, call: str, name: str, value) -> float:
    """A finite time, not negative."""
    if not isinstance(value, int | float | np.number) or not 0 <= value < float("inf"):
        raise usage_error(
            comm, call, f"{name} must be a time in seconds, 0 or more, but it is {value!r}. Pass such a number."
        )
    return float(value)


def check_buffer_pair(comm, call: str, sendbuf, recvbuf) -> None:
    """Two buffers of one shape and dtype that share no memory."""
    if tuple(sendbuf.shape) != tuple(recvbuf.shape) or sendbuf.dtype != recvbuf.dtype:
        raise usage_error(
            comm, call,
            "sendbuf and recvbuf must have one shape and dtype, but they are "
            f"{tuple(sendbuf.shape)} {sendbuf.dtype} and {tuple(recvbuf.shape)} {recvbuf.dtype}. "
            "Make recvbuf with np.empty_like(sendbuf).",
        )
    if isinstance(sendbuf, np.ndarray) and sendbuf.size and np.may_share_memory(sendbuf, recvbuf):
        raise usage_error(
            comm, call, "sendbuf and recvbuf must not share memory: MPI would read and write it at once. "
            "Make recvbuf with np.empty_like(sendbuf).",
        )
