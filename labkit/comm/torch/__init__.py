"""Communicators for tensors: MPI, Gloo and NCCL under mpi4py's names.

``communicator()`` makes the right one; labkit's own collectives (:mod:`labkit.mpi.collectives`) run on all of them.

================  ===================================================================================
file              what stands there
================  ===================================================================================
launch.py         communicator(): from MPI, from torchrun, from one through the other
tensors.py        TensorComm: tensors in front of any communicator
buffers.py        CPU tensors seen as arrays without a copy; staging; contiguous()
arrays.py         TensorArray: tensors with NumPy's manners, for the algorithms
half.py           sums of float16 and bfloat16, in float32
requests.py       requests of staged tensors
cuda_aware.py     what the MPI library says about GPU memory
direct.py         NCCL: tensors from GPU to GPU
distributed.py    mpi4py's names over torch.distributed (Gloo)
world.py          its processes, and how a rank waits
mailbox.py        MPI's rules of matching
links.py          two threads to every other rank
================  ===================================================================================
"""

import importlib

_WHERE = {
    "communicator": "launch", "TensorComm": "tensors", "contiguous": "buffers", "host_array": "buffers",
    "cuda_support": "cuda_aware", "TensorArray": "arrays",
}
__all__ = list(_WHERE)


def __getattr__(name: str):
    if name in _WHERE:
        return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
