"""What MPI refuses in collective calls, refused before anything is sent, with rank, call and values."""

from __future__ import annotations

import re

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.errors import UsageError

# Kinds of NumPy types that MPI's operations are defined for.
_KINDS = {
    op.handle: (name, kinds)
    for names, kinds in (("SUM PROD", "iufc"), ("MAX MIN", "iuf"), ("LAND LOR LXOR", "biu"), ("BAND BOR BXOR", "iu"))
    for name in names.split()
    for op in (getattr(MPI, name),)
}
SAME_SIZE = frozenset(
    prefix + (name if not prefix else name.lower())
    for name in ("Bcast", "Reduce", "Allreduce", "Scan", "Exscan")
    for prefix in ("", "I")
)


def check_reduction(who: str, send, recv, op) -> None:
    """The operation is defined for the type, and the buffers do not share memory.

    Raises
    ------
    MPIError
        ``MPI_ERR_OP`` or ``MPI_ERR_BUFFER``.
    """
    array = send if isinstance(send, np.ndarray) else recv
    if not isinstance(array, np.ndarray):
        return
    name, kinds = _KINDS.get(op.handle, ("", ""))
    if name and array.dtype.kind not in kinds:
        raise MPIError(MPI.ERR_OP, f"{who}: MPI.{name} is not defined for {array.dtype}")
    if isinstance(recv, np.ndarray) and array is send and send.size and recv.size:
        if send.__array_interface__["data"][0] == recv.__array_interface__["data"][0]:
            raise MPIError(MPI.ERR_BUFFER, f"{who}: sendbuf and recvbuf are the same memory; use MPI.IN_PLACE as sendbuf")


def check_same_size(who: str, name: str, num_bytes: int, first_rank: int, first_bytes: int) -> None:
    """All members give equally large buffers, where MPI asks for that."""
    if name in SAME_SIZE and num_bytes != first_bytes:
        raise MPIError(
            MPI.ERR_TRUNCATE,
            f"{who}: the buffer has {num_bytes} bytes, that of rank {first_rank} has {first_bytes}: make the counts "
            f"equal on all ranks",
        )


def of_the_call(who: str, error: Exception) -> Exception:
    """An error from inside a collective, as an error of the call that the program made."""
    if isinstance(error, MPIError):
        return MPIError(error.Get_error_class(), f"{who}: {re.sub(r'^rank [0-9]+: ', 'inside it, ', error.text)}")
    return UsageError(f"{who}: {re.sub(r'^rank [0-9]+ of [0-9]+: ', '', str(error))}")
