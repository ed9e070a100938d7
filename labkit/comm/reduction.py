"""Combining two buffers with an MPI operation: the one place where a reduction happens.

The same on real and on simulated ranks, for NumPy arrays and CPU torch tensors. NumPy's own loops
are used for MPI's predefined operations, MPI itself for operations made by ``MPI.Op.Create``.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

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
    if ufunc is not None:
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
