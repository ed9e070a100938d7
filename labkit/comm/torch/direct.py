"""Tensors on GPUs from GPU to GPU: NCCL's operations under mpi4py's names.

NCCL has no tags, no wildcards and no probes: the messages from one rank to another are one queue, and the k-th
receive takes the k-th message. What stands in such a queue runs on the stream of its process group, one after the
other; so messages to higher ranks and to lower ranks have a group each, or two ranks that send to each other before
they receive would wait for ever. Objects, arrays, and tensors on the CPU go over Gloo, beside this.
"""

from __future__ import annotations

import socket
from collections import deque
from datetime import timedelta

import torch
import torch.distributed as dist
from mpi4py import MPI

from labkit.comm.torch.requests import TensorRequest, fill_count
from labkit.errors import NotAvailableError, UsageError

OPS = {
    op.handle: name
    for op, name in ((MPI.SUM, "SUM"), (MPI.PROD, "PRODUCT"), (MPI.MAX, "MAX"), (MPI.MIN, "MIN"))
}
POINT_TO_POINT = ("Send", "Ssend", "Rsend", "Isend", "Issend", "Irsend", "Recv", "Irecv", "Sendrecv", "Sendrecv_replace")
COLLECTIVES = ("Bcast", "Reduce", "Allreduce", "Allgather", "Reduce_scatter_block", "Alltoall")
TIMEOUT = timedelta(minutes=30)


class WorkRequest:
    """A ``torch.distributed.Work`` with the calls of a request; its tensors stay alive as long as it does."""

    def __init__(self, work, source: int = MPI.UNDEFINED, tag: int = MPI.ANY_TAG, num_bytes: int = 0, tensors=()):
        self.work, self.tensors = work, tensors
        self.about = source, tag, num_bytes

    def Wait(self, status=None):
        if self.work is not None:
            self.work.wait()
        if status is not None:
            fill_count(status, *self.about)
        return True

    def Get_status(self, status=None):
        return self.work is None or self.work.is_completed()

    def Cancel(self):
        raise NotAvailableError("Cancel: NCCL cannot take back a receive. Send the message, or use tensors on the CPU.")

    def Free(self):
        """Nothing: it goes on."""


class _FromSelf:
    """A receive of what this rank sends to itself: the message may come later."""

    def __init__(self, queue: deque, tensor: torch.Tensor):
        self.queue, self.tensor = queue, tensor

    def is_completed(self) -> bool:
        return bool(self.queue)

    def wait(self) -> None:
        if not self.queue:
            raise UsageError(
                "a receive from this rank itself waits for a message that was never sent: send it before the wait."
            )
        self.tensor.view(-1).copy_(self.queue.popleft().view(-1))


class DirectTransfers:
    """The operations of one communicator on tensors of one kind of device. Collective: all members make it.

    Parameters
    ----------
    comm : labkit.comm.torch.distributed.DistributedComm
        Whose members take part.
    make_group : callable
        ``make_group(store, rank, size)`` makes a process group: NCCL's by default.
    device_type : str
    """

    def __init__(self, comm, make_group=None, device_type: str = "cuda"):
        self.comm, self.device_type = comm, device_type
        self.make_group = make_group or make_nccl_group
        self._to_self: deque = deque()
        self._groups = {}
        for name in ("collectives", "up", "down"):  # all at once: making one may wait for the other members
            store = dist.PrefixStore(f"labkit/{comm.context}/direct/{name}", comm.world.store)
            self._groups[name] = self.make_group(store, comm.rank, comm.size)

    def like(self, comm) -> DirectTransfers:
        """The same for another communicator."""
        return DirectTransfers(comm, self.make_group, self.device_type)

    def close(self) -> None:
        """Give the groups back."""
        for group in self._groups.values():
            group.shutdown() if hasattr(group, "shutdown") else None
        self._groups.clear()

    # -- which calls ----------------------------------------------------------------------------

    def takes(self, call: str, arguments: dict, tensors: dict) -> bool:
        """Whether this call goes this way: decided by what is equal on all ranks."""
        kinds = {tensor.device.type for tensor in tensors.values()}
        if kinds != {self.device_type}:
            if self.device_type in kinds:
                raise UsageError(f"{call}: one tensor is on {self.device_type}, the other is not. Put both on one device.")
            return False
        if any(isinstance(arguments.get(name), (list, tuple)) for name in tensors):
            return False
        base = call if call in POINT_TO_POINT else _blocking(call)
        if base not in POINT_TO_POINT + COLLECTIVES:
            return False
        is_complex = any(tensor.is_complex() for tensor in tensors.values())
        return not is_complex and arguments.get("op", MPI.SUM).handle in OPS

    def call(self, call: str, arguments: dict):
        """Make the call; ``arguments`` by their names in mpi4py."""
        if call in POINT_TO_POINT:
            return getattr(self, "_" + call.lower())(call, **arguments)
        base = _blocking(call)
        root = arguments.get("root", 0)
        if not 0 <= root < self.comm.size:
            raise UsageError(f"rank {self.comm.rank}: {call}(root={root}): the ranks are 0 to {self.comm.size - 1}.")
        work, kept = getattr(self, f"_{base.lower()}")(**arguments)
        request = TensorRequest(WorkRequest(work, tensors=kept), lambda status: None)
        return request if call != base else request.Wait() and None

    # -- collectives ----------------------------------------------------------------------------

    def _allreduce(self, sendbuf, recvbuf, op=MPI.SUM):
        if isinstance(sendbuf, torch.Tensor):
            recvbuf.copy_(sendbuf.view(recvbuf.shape))
        options = dist.AllreduceOptions()
        options.reduceOp = _reduce_op(op)
        return self._groups["collectives"].allreduce([recvbuf], options), (recvbuf,)

    def _bcast(self, buf, root=0):
        options = dist.BroadcastOptions()
        options.rootRank = root
        return self._groups["collectives"].broadcast([buf], options), (buf,)

    def _reduce(self, sendbuf, recvbuf, op=MPI.SUM, root=0):
        options = dist.ReduceOptions()
        options.reduceOp, options.rootRank = _reduce_op(op), root
        if self.comm.rank != root:
            room = sendbuf.clone()  # a backend may use it as scratch
        else:
            room = recvbuf
            if isinstance(sendbuf, torch.Tensor):
                recvbuf.copy_(sendbuf.view(recvbuf.shape))
        return self._groups["collectives"].reduce([room], options), (room,)

    def _allgather(self, sendbuf, recvbuf):
        flat = recvbuf.view(-1)
        block = flat.numel() // self.comm.size
        if not isinstance(sendbuf, torch.Tensor):
            sendbuf = flat[self.comm.rank * block : (self.comm.rank + 1) * block].clone()
        return self._groups["collectives"]._allgather_base(flat, sendbuf.view(-1)), (flat, sendbuf)

    def _reduce_scatter_block(self, sendbuf, recvbuf, op=MPI.SUM):
        options = dist.ReduceScatterOptions()
        options.reduceOp = _reduce_op(op)
        flat = recvbuf.view(-1)
        if not isinstance(sendbuf, torch.Tensor):
            sendbuf, flat = flat.clone(), flat[: flat.numel() // self.comm.size]
        return self._groups["collectives"]._reduce_scatter_base(flat, sendbuf.view(-1), options), (flat, sendbuf)

    def _alltoall(self, sendbuf, recvbuf):
        flat = recvbuf.view(-1)
        if not isinstance(sendbuf, torch.Tensor):
            sendbuf = flat.clone()
        return self._groups["collectives"].alltoall_base(flat, sendbuf.view(-1), [], []), (flat, sendbuf)

    # -- point to point -------------------------------------------------------------------------

    def _start_send(self, call, buf, dest, tag=0):
        self._check_peer(call, "dest", dest)
        if dest == MPI.PROC_NULL or not buf.numel():
            return WorkRequest(None)
        if dest == self.comm.rank:
            self._to_self.append(buf.clone())
            return WorkRequest(None)
        way = "up" if dest > self.comm.rank else "down"
        return WorkRequest(self._groups[way].send([buf], dest, 0), tensors=(buf,))

    def _start_receive(self, call, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        if source == MPI.ANY_SOURCE:
            raise NotAvailableError(
                f"{call}(source=ANY_SOURCE) of a tensor on {buf.device}: NCCL has no wildcards. Name the source, or send "
                "tensors on the CPU."
            )
        self._check_peer(call, "source", source)
        if source == MPI.PROC_NULL:
            return WorkRequest(None, MPI.PROC_NULL)
        num_bytes = buf.numel() * buf.element_size()
        if not num_bytes:
            return WorkRequest(None, source, tag)
        if source == self.comm.rank:
            work = _FromSelf(self._to_self, buf)
        else:
            work = self._groups["up" if self.comm.rank > source else "down"].recv([buf], source, 0)
        return WorkRequest(work, source, tag, num_bytes, (buf,))

    def _check_peer(self, call, word, peer) -> None:
        if not (0 <= peer < self.comm.size or peer == MPI.PROC_NULL):
            raise UsageError(f"rank {self.comm.rank}: {call}({word}={peer}): the ranks are 0 to {self.comm.size - 1}.")

    def _isend(self, call, buf, dest, tag=0):
        return TensorRequest(self._start_send(call, buf, dest, tag), lambda status: None)

    def _irecv(self, call, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        return TensorRequest(self._start_receive(call, buf, source, tag), lambda status: None)

    def _send(self, call, buf, dest, tag=0):
        self._start_send(call, buf, dest, tag).Wait()

    def _recv(self, call, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        self._start_receive(call, buf, source, tag).Wait(status)

    _ssend = _rsend = _send
    _issend = _irsend = _isend

    def _sendrecv(
        self, call, sendbuf, dest, sendtag=0, recvbuf=None, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None
    ):
        self._check_peer(call, "dest", dest)  # before the receive takes the next message
        receiving = self._start_receive(call, recvbuf, source, recvtag)
        sending = self._start_send(call, sendbuf, dest, sendtag)
        receiving.Wait(status)
        sending.Wait()

    def _sendrecv_replace(self, call, buf, dest, sendtag=0, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None):
        self._sendrecv(call, buf.clone(), dest, sendtag, buf, source, recvtag, status)


def _blocking(call: str) -> str:
    """``Iallreduce`` is a started ``Allreduce``."""
    return call[1:].capitalize() if call[0] == "I" and call[1:2].islower() else call


def _reduce_op(op):
    return getattr(dist.ReduceOp, OPS[op.handle])


def make_nccl_group(store, rank: int, size: int):
    """A process group of NCCL."""
    options = dist.ProcessGroupNCCL.Options()
    options._timeout = TIMEOUT
    return dist.ProcessGroupNCCL(store, rank, size, options)


def check_nccl(comm, device: torch.device) -> None:
    """Every rank has a GPU of its own, and torch has NCCL.

    Raises
    ------
    NotAvailableError
        On all ranks alike, if it is so on one.
    """
    problem = ""
    if not dist.is_nccl_available():
        problem = f"torch {torch.__version__} was built without NCCL: install a CUDA build of torch, or use backend='gloo'."
    elif device.type != "cuda":
        problem = f"NCCL moves tensors on GPUs, but the device is {str(device)!r}: pass device='cuda', or use backend='gloo'."
    gpu = None
    if not problem:
        properties = torch.cuda.get_device_properties(device)
        gpu = socket.gethostname(), str(getattr(properties, "uuid", device.index))
    found = comm.allgather((problem, gpu))
    for rank, (its_problem, its_gpu) in enumerate(found):
        if its_problem:
            raise NotAvailableError(f"rank {rank}: {its_problem}")
        first = [one for _, one in found].index(its_gpu)
        if first != rank:
            raise NotAvailableError(
                f"ranks {first} and {rank} share one GPU (of {its_gpu[0]}), and NCCL takes one GPU a rank: start at most as "
                "many ranks as there are GPUs, or use backend='gloo', which stages tensors through the host."
            )
