"""The right communicator for tensors: from MPI, from the environment of ``torchrun``, or from one through the other."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import torch
import torch.distributed as dist
from mpi4py import MPI

from labkit.comm.torch.buffers import check_device
from labkit.comm.torch.tensors import TensorComm
from labkit.errors import NotAvailableError, UsageError

BACKENDS = ("mpi", "gloo", "nccl")
TORCHRUN_NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = timedelta(minutes=5)  # for ranks to find each other


def started_by_torchrun() -> bool:
    """Whether the environment says which rank of which world this process is, as ``torchrun`` does."""
    return all(name in os.environ for name in TORCHRUN_NAMES)


def communicator(comm=None, *, backend: str | None = None, device: str | torch.device = "cpu") -> TensorComm:
    """The communicator of all ranks, for NumPy arrays, objects, and tensors on the CPU and on GPUs.

    Parameters
    ----------
    comm : communicator, optional
        What connects the ranks already: ``MPI.COMM_WORLD``, ``comm`` of a ``%%mpi`` cell, simulated ranks. Without it: the
        environment of ``torchrun`` if there is one, else ``MPI.COMM_WORLD``.
    backend : {"mpi", "gloo", "nccl"}, optional
        What the messages travel on. By default MPI if ``comm`` is given or nothing else is there, Gloo under
        ``torchrun``. "gloo" and "nccl" with ``comm``: its ranks agree on an address over it and initialise
        ``torch.distributed``.
    device : str or torch.device
        Where this rank's tensors will be, for checks: "cuda" becomes the GPU of the rank's number on its node.

    Returns
    -------
    TensorComm
        ``comm.device`` is the device.

    Raises
    ------
    UsageError
        An unknown backend; a launcher that does not fit to it; ``torch.distributed`` has another world already.
    NotAvailableError
        There is no such GPU; NCCL with two ranks on one GPU, or without GPUs.

    Examples
    --------
    >>> comm = communicator(MPI.COMM_SELF)
    >>> total = torch.ones(3, dtype=torch.bfloat16)
    >>> comm.Allreduce(MPI.IN_PLACE, total)
    >>> comm.size, total.tolist()
    (1, [1.0, 1.0, 1.0])
    """
    if backend is not None and backend not in BACKENDS:
        raise UsageError(f"backend={backend!r} is none of {', '.join(BACKENDS)}.")
    by_torchrun = comm is None and started_by_torchrun()
    if backend is None:
        backend = "gloo" if by_torchrun else "mpi"
    if backend == "mpi":
        if by_torchrun and MPI.COMM_WORLD.size == 1 and int(os.environ["WORLD_SIZE"]) > 1:
            raise UsageError(
                f"backend='mpi', but torchrun started {os.environ['WORLD_SIZE']} processes that MPI knows nothing of: each "
                "would be alone. Start the program with mpiexec -n, or use backend='gloo'."
            )
        result = TensorComm(MPI.COMM_WORLD if comm is None else comm)
        result.device = _own_device(result, device)
        return result
    if dist.is_initialized():
        _check_same_world(comm)
    elif by_torchrun:
        dist.init_process_group("gloo", timeout=TIMEOUT)
    else:
        initialise_over(MPI.COMM_WORLD if comm is None else comm)
    from labkit.comm.torch.distributed import distributed_world

    result = TensorComm(distributed_world())
    result.device = _own_device(result, device)
    if backend == "nccl":
        from labkit.comm.torch.direct import DirectTransfers, check_nccl

        check_nccl(result, result.device)
        result.direct = DirectTransfers(result.inner)
    return result


def initialise_over(comm) -> None:
    """Initialise ``torch.distributed`` with the ranks of ``comm``: they agree on address and port over it.

    Rank 0 opens a store on a port that the system chooses, so two programs on one machine cannot meet.
    """
    store, found = None, None
    if comm.rank == 0:
        try:
            store = dist.TCPStore("0.0.0.0", 0, comm.size, True, TIMEOUT, wait_for_workers=False)
            found = store.port
        except (RuntimeError, OSError) as error:
            found = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    host, port = comm.bcast((socket.gethostname(), found), 0)
    if isinstance(port, str):
        raise NotAvailableError(f"rank 0 could not open a port for torch.distributed: {port}")
    is_one_node = len(set(comm.allgather(socket.gethostname()))) == 1
    if comm.rank:
        store = dist.TCPStore("127.0.0.1" if is_one_node else host, port, comm.size, False, TIMEOUT, wait_for_workers=False)
    dist.init_process_group("gloo", store=store, rank=comm.rank, world_size=comm.size, timeout=TIMEOUT)


def _check_same_world(comm) -> None:
    """What has been initialised already is the world that is asked for."""
    ours = dist.get_rank(), dist.get_world_size()
    if comm is not None and (comm.rank, comm.size) != ours:
        raise UsageError(
            f"torch.distributed is initialised as rank {ours[0]} of {ours[1]}, but the communicator has rank {comm.rank} of "
            f"{comm.size}. Call torch.distributed.destroy_process_group() first."
        )


def _own_device(comm, device) -> torch.device:
    """The device of this rank; all ranks raise if one lacks it."""
    if torch.device(device).type == "cpu":
        return torch.device(device)
    problem, chosen = "", None
    try:
        chosen = check_device(device)
    except NotAvailableError as error:
        problem = str(error)
    for rank, text in enumerate(comm.allgather(problem)):
        if text:
            raise NotAvailableError(f"rank {rank}: {text}")
    if chosen.type == "cuda":
        if chosen.index is None:
            local = comm.Split_type(MPI.COMM_TYPE_SHARED)
            chosen = torch.device("cuda", local.rank % torch.cuda.device_count())
            local.Free()
        torch.cuda.set_device(chosen)
    return chosen
