"""Whether the MPI library takes pointers to GPU memory, as it says itself."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI


@dataclass(frozen=True, slots=True)
class CudaSupport:
    """What the MPI library says about buffers in GPU memory.

    Attributes
    ----------
    is_aware : bool
    reason : str
        How it said so.
    """

    is_aware: bool
    reason: str


def cuda_support(comm=None) -> CudaSupport:
    """Ask the MPI library of this process whether messages may stand in the memory of a CUDA GPU.

    Two ways: MPI 4.1's info key ``mpi_memory_alloc_kinds`` of a communicator (``"system,mpi,cuda"``), and the function
    ``MPIX_Query_cuda_support`` of MPICH and Open MPI. If neither says yes, tensors are staged through the host.

    References
    ----------
    MPI 4.1, section 11.4.3 (memory allocation kinds); Open MPI, "CUDA-aware support".

    Examples
    --------
    >>> cuda_support().is_aware in (True, False)
    True
    """
    comm = MPI.COMM_WORLD if comm is None else comm
    info = comm.Get_info()
    kinds = info.Get("mpi_memory_alloc_kinds") or ""
    info.Free()
    if any(kind.split(":")[0] == "cuda" for kind in kinds.split(",")):
        return CudaSupport(True, f"the communicator's info says mpi_memory_alloc_kinds = {kinds}")
    answer = _query(_mpi_library())
    if answer is None:
        return CudaSupport(False, "the MPI library has no MPIX_Query_cuda_support, and its info names no memory kind cuda")
    return CudaSupport(answer, f"MPIX_Query_cuda_support() is {int(answer)}")


def _mpi_library() -> ctypes.CDLL | None:
    """The MPI library that is loaded in this process."""
    maps = Path("/proc/self/maps")
    paths = {line.split()[-1] for line in maps.read_text().splitlines() if "/libmpi" in line} if maps.exists() else set()
    for path in sorted(paths, key=lambda path: ("abi" in path, path)):
        library = ctypes.CDLL(path)
        if hasattr(library, "MPIX_Query_cuda_support"):
            return library
    return None


def _query(library) -> bool | None:
    if library is None:
        return None
    function = library.MPIX_Query_cuda_support
    function.argtypes, function.restype = [], ctypes.c_int
    return bool(function())
