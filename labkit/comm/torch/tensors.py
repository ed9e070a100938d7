"""A communicator that takes tensors: on the CPU without copies, on GPUs directly or through the host.

:class:`TensorComm` stands in front of any communicator of the protocol (mpi4py's, that of a ``%%mpi`` cell, one over
``torch.distributed``) and hands it what it understands:

=====================================  ==========================================================================
buffer                                 what the communicator below gets
=====================================  ==========================================================================
NumPy array, bytes, ``[data, ...]``    the same
CPU tensor                             a NumPy array over the same memory
float16, bfloat16                      16-bit integers over the same memory; sums in float32 (:mod:`.half`)
CUDA tensor, MPI library that says so  the tensor itself
CUDA tensor, NCCL                      nothing: the tensor goes its own way (:mod:`.direct`)
CUDA tensor otherwise                  a copy in pinned host memory, copied back when it is complete
=====================================  ==========================================================================
"""

from __future__ import annotations

import functools
import inspect

import torch
from mpi4py import MPI

from labkit.comm.protocol import Communicator
from labkit.comm.torch.arrays import HALF_TYPES
from labkit.comm.torch.buffers import Staging, as_tensor, check_tensor, host_array
from labkit.comm.torch.half import allreduce_half, check_half_op, reduce_pieces
from labkit.comm.torch.requests import TensorRequest
from labkit.errors import NotAvailableError, UsageError

READ, FILL, BOTH = "read", "fill", "both"  # what a call does with a buffer
REDUCTIONS = ("Reduce", "Allreduce", "Reduce_scatter", "Reduce_scatter_block", "Scan", "Exscan")
COLLECTIVES = (
    "Scatter", "Scatterv", "Gather", "Gatherv", "Allgather", "Allgatherv", "Alltoall", "Alltoallv", *REDUCTIONS,
)
CALLS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("Send", "Ssend", "Rsend", "Isend", "Issend", "Irsend", "Send_init", "Ssend_init"), {"buf": READ}),
    **dict.fromkeys(("Recv", "Irecv", "Recv_init"), {"buf": FILL}),
    "Sendrecv": {"sendbuf": READ, "recvbuf": FILL},
    "Sendrecv_replace": {"buf": BOTH},
    "Bcast": {"buf": BOTH}, "Ibcast": {"buf": BOTH},
    # A receive buffer may hold the data (MPI.IN_PLACE), and gaps between its blocks keep what they have.
    **{prefix + (name if not prefix else name.lower()): {"sendbuf": READ, "recvbuf": BOTH}
       for name in COLLECTIVES for prefix in ("", "I")},
}
MAKERS = ("Dup", "Split", "Split_type", "Create_cart")


class TensorComm:
    """A communicator of the protocol whose buffers may be tensors of any type on any device.

    Made by :func:`labkit.comm.torch.communicator`. What is no buffer call goes to the communicator below.

    Attributes
    ----------
    inner : communicator
    rank, size : int
    carries_tensors : bool
        True: labkit's own collectives (:mod:`labkit.mpi.collectives`) take tensors of all kinds on it.

    Notes
    -----
    A call returns when the buffers on the host are free or filled, as MPI says. Before a GPU-aware library reads a
    tensor, the stream that wrote it is waited for, because MPI knows no streams.
    """

    carries_tensors = True

    def __init__(self, inner, *, direct=None, is_cuda_aware: bool | None = None):
        if isinstance(inner, TensorComm):
            inner = inner.inner
        self.inner, self.direct = inner, direct
        self.rank, self.size = inner.Get_rank(), inner.Get_size()
        self._is_cuda_aware = is_cuda_aware

    def __repr__(self) -> str:
        return f"<tensors over {self.inner!r}{', NCCL for those on GPUs' if self.direct is not None else ''}>"

    def __getattr__(self, name: str):
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def is_cuda_aware(self) -> bool:
        """Whether tensors on a GPU go to the library as they are."""
        if self._is_cuda_aware is None:
            self._is_cuda_aware = False
            if isinstance(self.inner, MPI.Comm):
                from labkit.comm.torch.cuda_aware import cuda_support

                self._is_cuda_aware = cuda_support().is_aware
        return self._is_cuda_aware

    def must_stage(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor goes through a copy on the host; one that the library cannot reach."""
        return tensor.device.type != "cpu"

    def Get_rank(self) -> int:
        return self.rank

    def Get_size(self) -> int:
        return self.size

    def Abort(self, errorcode: int = 0):
        self.inner.Abort(errorcode)

    def Free(self):
        if self.direct is not None:
            self.direct.close()
        self.inner.Free()

    free = Free

    def _wrap(self, made):
        """A communicator made from the one below, for the ranks that are in it."""
        if not hasattr(made, "Get_rank") or made == MPI.COMM_NULL:
            return made
        direct = self.direct.like(made) if self.direct is not None else None
        return TensorComm(made, direct=direct, is_cuda_aware=self._is_cuda_aware)

    def Sub(self, remain_dims):
        """As of mpi4py's Cartcomm."""
        return self._wrap(self.inner.Sub(remain_dims))

    # -- one call with tensors ------------------------------------------------------------------

    def _who(self, call: str) -> str:
        return f"rank {self.rank} of {self.size}: {call}()"

    def _call(self, call: str, signature, roles, args, options):
        bound = signature.bind(self, *args, **options)
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        tensors = {name: tensor for name in roles if (tensor := _tensor_in(arguments.get(name))) is not None}
        if not tensors:
            return getattr(self.inner, call)(**arguments)
        for tensor in tensors.values():
            check_tensor(tensor, self._who(call))
        if self.direct is not None and self.direct.takes(call, arguments, tensors):
            return self.direct.call(call, {**arguments, **tensors})
        base = call[1:].capitalize() if call[0] == "I" and call[1:].capitalize() in COLLECTIVES else call
        is_half = any(tensor.dtype in HALF_TYPES for tensor in tensors.values())
        if base in REDUCTIONS:
            bound.apply_defaults()
            self._check_types(call, arguments, tensors)
            if is_half:
                check_half_op(self._who(call), bound.arguments["op"], next(iter(tensors.values())).dtype)
                if call in ("Allreduce", "Reduce_scatter_block"):
                    return self._reduce_half(call, arguments, tensors, bound.arguments["op"])
        return self._through_host(call, roles, arguments, tensors, widen=is_half and base in REDUCTIONS)

    def _check_types(self, call, arguments, tensors) -> None:
        types = {name: tensor.dtype for name, tensor in tensors.items()}
        if len(set(types.values())) > 1:
            raise UsageError(f"{self._who(call)}: sendbuf is of {types['sendbuf']}, recvbuf of {types['recvbuf']}. Make them equal.")

    def _through_host(self, call, roles, arguments, tensors, *, widen: bool):
        """Arrays over CPU tensors; copies of those on a GPU, unless the library takes them."""
        stagings = []
        for name, tensor in tensors.items():
            if not widen and tensor.device.type == "cuda" and self.is_cuda_aware:
                torch.cuda.current_stream(tensor.device).synchronize()
                array = tensor.view(torch.int16) if tensor.dtype in HALF_TYPES else tensor
            elif widen or self.must_stage(tensor):
                staging = Staging(tensor, reads=roles[name] != FILL, widen=widen)
                array = staging.array
                if roles[name] != READ:
                    stagings.append(staging)
            else:
                array = host_array(tensor, self._who(call))
            value = arguments[name]
            arguments[name] = [array, *value[1:]] if isinstance(value, (list, tuple)) else array
        function = getattr(self.inner, call)
        needs_books = stagings or (widen and call[0] == "I")
        if not needs_books:
            return function(**arguments)
        if call.endswith("_init"):
            raise NotAvailableError(
                f"{self._who(call)}: a persistent request of a tensor on {next(iter(tensors.values())).device} would be staged "
                "once only. Use Irecv, or a CPU tensor."
            )

        def copy_back(status) -> None:
            partly = call in ("Recv", "Irecv", "Sendrecv") and not status.Is_cancelled()
            for staging in stagings:
                staging.copy_back(status.Get_count(MPI.BYTE) if partly else None)

        if call[0] == "I":
            return TensorRequest(function(**arguments), lambda status: None if status.Is_cancelled() else copy_back(status))
        status = arguments.get("status")
        if "status" in inspect.signature(getattr(Communicator, call)).parameters:
            status = arguments["status"] = MPI.Status() if status is None else status
        result = function(**arguments)
        copy_back(status)
        return result

    def _reduce_half(self, call, arguments, tensors, op) -> None:
        """All-reduce and reduce-scatter of 16-bit numbers, in half the bytes of float32."""
        recv = tensors["recvbuf"].view(-1)
        send = tensors["sendbuf"].view(-1) if "sendbuf" in tensors else None
        if call == "Allreduce":
            if send is not None:
                self._check_sizes(call, send.numel(), recv.numel())
                recv.copy_(send)
            allreduce_half(self, recv, op)
            return
        whole = recv if send is None else send
        block = whole.numel() // self.size
        if send is not None:
            self._check_sizes(call, send.numel(), recv.numel() * self.size)
        recv[:block].copy_(reduce_pieces(self, whole, [block] * self.size, op))

    def _check_sizes(self, call, num_given: int, num_wanted: int) -> None:
        if num_given != num_wanted:
            raise UsageError(f"{self._who(call)}: sendbuf has {num_given} elements, but recvbuf asks for {num_wanted}. Make them fit.")


def _tensor_in(buffer) -> torch.Tensor | None:
    """The tensor of a buffer argument: itself, or the data of ``[data, count, datatype]``."""
    if isinstance(buffer, (list, tuple)) and buffer:
        buffer = buffer[0]
    return as_tensor(buffer)


def _method(call: str):
    described = getattr(Communicator, call)
    signature, roles = inspect.signature(described), CALLS[call]

    @functools.wraps(described)
    def method(self, *args, **options):
        return self._call(call, signature, roles, args, options)

    method.__signature__ = signature
    return method


def _passed_on(call: str):
    described = getattr(Communicator, call)

    @functools.wraps(described)
    def method(self, *args, **options):
        result = getattr(self.inner, call)(*args, **options)
        return self._wrap(result) if call in MAKERS else result

    method.__signature__ = inspect.signature(described)
    return method


for _name, _described in vars(Communicator).items():
    if callable(_described) and not _name.startswith("_") and _name not in vars(TensorComm):
        setattr(TensorComm, _name, _method(_name) if _name in CALLS else _passed_on(_name))
