"""What every communicator refuses, and with which words."""

import re

import numpy as np

from .common import around, equal, refused


def check_wrong_arguments(comm, MPI):
    rank, size, right, left = around(comm)
    buffer, who = np.zeros(2), f"rank {rank}: "
    for name in ("Send", "Ssend", "Isend", "Issend", "Send_init", "send", "ssend", "isend", "issend"):
        call = getattr(comm, name)
        for peer in (size, -7):
            refused(MPI, MPI.ERR_RANK, lambda: call(buffer, peer), who, f"{name}(dest={peer}")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, right, -5), who, f"{name}(dest={right}, tag=-5)")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, right, MPI.ANY_TAG), who)
    for name in ("Recv", "Irecv", "Recv_init"):
        call = getattr(comm, name)
        refused(MPI, MPI.ERR_RANK, lambda: call(buffer, size), who, f"{name}(source={size}")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, left, -5), who, f"{name}(source={left}, tag=-5)")
    for name in ("recv", "irecv"):
        refused(MPI, MPI.ERR_RANK, lambda: getattr(comm, name)(None, size), who, f"{name}(source={size}")
    for name in ("Probe", "Iprobe", "Mprobe", "Improbe", "probe", "iprobe", "mprobe", "improbe"):
        refused(MPI, MPI.ERR_RANK, lambda: getattr(comm, name)(size), who, f"{name}(source={size}")
        refused(MPI, MPI.ERR_TAG, lambda: getattr(comm, name)(left, -5), who, f"{name}(source={left}, tag=-5)")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv(buffer, size, 0, buffer.copy(), left, 0), who, "Sendrecv", f"{size}")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv_replace(buffer, size, 0, left, 0), who, "Sendrecv_replace")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv(buffer, right, 0, buffer.copy(), size, 0), who, "Sendrecv")
    refused(MPI, MPI.ERR_TAG, lambda: comm.Sendrecv(buffer, right, -3, buffer.copy(), left, 0), who, "Sendrecv")
    refused(MPI, MPI.ERR_RANK, lambda: comm.sendrecv(1, size, source=left), who, f"(dest={size}")
    refused(MPI, MPI.ERR_TAG, lambda: comm.Send(buffer, MPI.PROC_NULL, -5), who, "tag=-5")
    equal(comm.sendrecv(rank, right, source=left), left, "no receive was left behind")
    sending = comm.Isend(np.full(2, float(rank)), right, 3)
    comm.Barrier()  # the message is there
    for call in (
        lambda: comm.Sendrecv(np.zeros(2), size, 0, np.zeros(2), left, 3), lambda: comm.Sendrecv_replace(np.zeros(2), size, 0, left, 3),
        lambda: comm.sendrecv(1, size, source=left, recvtag=3),
    ):
        refused(MPI, MPI.ERR_RANK, call, who)
    if type(comm).__module__.startswith(("labkit.comm.interruptible", "labkit.comm.simulated")):  # mpi4py itself sends first
        refused(MPI, MPI.ERR_RANK, lambda: comm.sendrecv(1, right, 5, None, size, 5), who)
    found = np.zeros(2)
    comm.Recv(found, left, 3)
    equal(found.tolist(), [left, left], "the message was not lost with the call that was wrong")
    sending.Wait()
    comm.Barrier()
    equal(comm.Iprobe(), False, "nothing was sent")
    for name, arguments in (
        ("Bcast", (buffer,)), ("Gather", (buffer, np.zeros(2 * size))), ("Scatter", (np.zeros(2 * size), buffer)),
        ("Reduce", (buffer, buffer.copy(), MPI.SUM)), ("bcast", (1,)), ("gather", (1,)), ("scatter", ([1] * size,)),
        ("reduce", (1, MPI.SUM)), ("Ibcast", (buffer,)),
    ):
        for root in (size, -3):
            refused(MPI, MPI.ERR_ROOT, lambda: getattr(comm, name)(*arguments, root), who, f"{name}(root={root}")
    refused(MPI, MPI.ERR_ARG, lambda: comm.Create_cart([size + 1, 2]))
    cart = comm.Create_cart([size])
    refused(MPI, MPI.ERR_RANK, lambda: cart.Get_coords(size))
    for wrong in (np.zeros((4, 4))[:, ::2], np.zeros((4, 4))[:, 1]):
        for call in (lambda b: comm.Send(b, right), lambda b: comm.Recv(b, left), lambda b: comm.Isend(b, right),
                     lambda b: comm.Bcast(b), lambda b: comm.Allreduce(b, np.zeros(b.size))):
            try:
                call(wrong)
            except (ValueError, BufferError):
                pass
            else:
                raise AssertionError("a buffer that is not contiguous was taken")
    for call in (lambda: comm.Send([1, 2, 3], right), lambda: comm.Send("text", right), lambda: comm.Send(None, right, tag="x"),
                 lambda: comm.Send(np.array([object()]), right), lambda: comm.Send(buffer), lambda: comm.Recv(b"readonly", left)):
        try:
            call()
        except (TypeError, ValueError, KeyError, BufferError, MPI.Exception):
            pass
        else:
            raise AssertionError("what is no buffer was taken")
    comm.Barrier()
    equal(comm.Iprobe(), False, "nothing was sent")


def check_wrong_reductions(comm, MPI):
    rank, size, right, left = around(comm)
    who = f"rank {rank}: Allreduce()"
    for op, dtypes in ((MPI.MAX, "Dc16?"), (MPI.SUM, "?"), (MPI.BAND, "fd?"), (MPI.LAND, "fdD")):
        for dtype in re.findall("c16|.", dtypes):
            refused(MPI, MPI.ERR_OP, lambda: comm.Allreduce(np.ones(3, dtype), np.ones(3, dtype), op), who, "not defined for")
    both = np.ones(3)
    refused(MPI, MPI.ERR_BUFFER, lambda: comm.Allreduce(both, both), who, "MPI.IN_PLACE")
    refused(MPI, MPI.ERR_BUFFER, lambda: comm.Scan(both, both), "Scan()")
    for call in (
        lambda: comm.Allreduce(both, np.zeros(3, np.float32)), lambda: comm.Allreduce(both, np.zeros(2)),
        lambda: comm.Scan(both, np.zeros(4)), lambda: comm.Reduce_scatter(np.ones(3 * size), np.ones(3), [2] * size),
    ):
        try:
            call()
        except ValueError:
            pass
        else:
            raise AssertionError("buffers that do not fit were taken")
    equal(comm.allreduce(1), size, "the communicator goes on")


def check_truncation(comm, MPI):
    rank, size, right, left = around(comm)
    words = (f"rank {rank}: ", f"from rank {left}", "tag 7", "32 bytes", "24")
    for count in (4,):
        request = comm.Isend(np.arange(count) * 1.0, right, 7)
        refused(MPI, MPI.ERR_TRUNCATE, lambda: comm.Recv(np.zeros(3), left, 7), *words, "Recv")
        request.Wait()
        comm.Barrier()
        receive = comm.Irecv(np.zeros(3), left, 7)
        comm.Barrier()
        comm.Send(np.arange(count) * 1.0, right, 7)
        refused(MPI, MPI.ERR_TRUNCATE, receive.Wait, *words)
        comm.Barrier()
        refused(MPI, MPI.ERR_TRUNCATE,
                lambda: comm.Sendrecv(np.arange(count) * 1.0, right, 7, np.zeros(3), left, 7), *words, "Sendrecv")
        comm.Barrier()
    equal(comm.sendrecv(rank, right, source=left), left, "the communicator goes on")
