"""What all checks of communicators use."""

import numpy as np


def equal(actual, expected, what):
    """Same values; of arrays also shape and type."""
    if isinstance(expected, np.ndarray):
        same = actual.shape == expected.shape and actual.dtype == expected.dtype and np.array_equal(actual, expected)
    else:
        same = actual == expected
    assert same, f"{what}: {actual!r} is not {expected!r}"


def refused(MPI, error_class, call, *words):
    """``call`` raises MPI's exception of this class, with these words in its text if labkit made it."""
    try:
        call()
    except MPI.Exception as error:
        got = error.Get_error_class()
        assert got == error_class, f"{error} is of class {got}, not {error_class}"
        if hasattr(error, "text"):
            missing = [word for word in words if word not in str(error)]
            assert not missing, f"{missing} not in: {error}"
    else:
        raise AssertionError(f"not refused: {words}")


def around(comm):
    """(rank, size, right neighbour, left neighbour) on a ring."""
    rank, size = comm.Get_rank(), comm.Get_size()
    assert (rank, size) == (comm.rank, comm.size)
    return rank, size, (rank + 1) % size, (rank - 1) % size


def roots(comm):
    return sorted({0, 1 % comm.size, comm.size // 2, comm.size - 1})


def run(comm, MPI, checks):
    """Checks by name, each on a communicator of its own; AssertionError names the check and the rank."""
    for name, check in checks.items():
        own = comm.Dup()
        try:
            check(own, MPI)
        except Exception as error:
            raise AssertionError(f"{name} on rank {comm.rank} of {comm.size}: {error!r}") from error
        own.Barrier()
        own.Free()
