"""Combining two buffers with an MPI operation: the one place where a reduction happens.

The same on real and on simulated ranks, for NumPy arrays and CPU torch tensors. NumPy's own loops
are used for MPI's predefined operations, MPI itself for operations made by ``MPI.Op.Create``.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

LINE_BYTES = 64  # of a cache line, and of the widest vector register
LONG_BYTES = 1 << 14  # shorter vectors are combined sooner than their address is looked up

_UFUNCS = {  # by handle: an Op does not hash
    op.handle: ufunc
    for op, ufunc in (
        (MPI.SUM, np.add), (MPI.PROD, np.multiply), (MPI.MAX, np.maximum), (MPI.MIN, np.minimum),
        (MPI.BAND, np.bitwise_and), (MPI.BOR, np.bitwise_or), (MPI.BXOR, np.bitwise_xor),
        (MPI.LAND, np.logical_and), (MPI.LOR, np.logical_or), (MPI.LXOR, np.logical_xor),
    )
}


def reduce_local(comm, left, right, op, out=None) -> None:
    """``out = left op right``, element by element.

    Parameters
    ----------
    comm : communicator
        Of the rank that works: simulated ranks count the elements and let time pass.
    left, right : numpy.ndarray
        1-D, contiguous, of equal size and type. ``left`` comes from lower ranks, which matters to
        operations that do not commute.
    op : mpi4py.MPI.Op
    out : numpy.ndarray, optional
        Where the result goes: ``right`` by default, as in MPI; may be ``left`` too.

    Raises
    ------
    mpi4py.MPI.Exception
        ``op`` is not defined for this type.
    """
    if out is None:
        out = right
    ufunc = _UFUNCS.get(op.handle)
    if ufunc is not None and type(out) is np.ndarray and out.nbytes >= LONG_BYTES:
        _by_lines(ufunc, left, right, out)
    elif ufunc is not None and type(out) is np.ndarray and out.size == 1:
        out[...] = ufunc(left, right)  # written into an operand, one element takes NumPy twice as long
    elif ufunc is not None:
        ufunc(left, right, out=out)
    elif left.size:
        if out is right:
            op.Reduce_local(left, right)
        else:
            result = right.copy()
            op.Reduce_local(left, result)
            out[...] = result
    charge = getattr(comm, "charge_reduction", None)
    if charge is not None:
        charge(out.size, out.nbytes)


def _by_lines(ufunc, left, right, out) -> None:
    """The elements before the first whole cache line of ``out``, then all others.

    NumPy stores whole vector registers from the first element on. Where that is not the beginning of a line, every
    store touches two lines, and where another core has just read them, which is what messages do, a sum takes up to
    three times as long. Which address an array gets is luck: without this, equal programs are quick or slow.
    """
    head = -MPI.Get_address(out) % LINE_BYTES // out.itemsize
    if head:
        ufunc(left[:head], right[:head], out=out[:head])
        left, right, out = left[head:], right[head:], out[head:]
    ufunc(left, right, out=out)


def compute_for(comm, seconds: float) -> None:
    """Compute for so many seconds: real ranks keep their core busy, on simulated ones time passes."""
    charge = getattr(comm, "charge_compute", None)
    if charge is not None:
        charge(seconds)
        return
    import time

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
