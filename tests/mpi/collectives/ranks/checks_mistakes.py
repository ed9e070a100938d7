"""Wrong arguments are refused on every rank, by name, before anything is sent."""

import functools
import io

import numpy as np
import torch
from cases import AFFINE, can_run, refused
from mpi4py import MPI

from labkit.mpi.collectives.registry import ALGORITHMS

ROOTED = ("broadcast", "scatter", "gather", "reduce")
REDUCING = ("reduce", "reduce_scatter", "allreduce", "scan", "exscan")


def good(comm, operation):
    """Arguments that are right on all ranks, the same for everybody: (sendbuf, recvbuf)."""
    p = comm.size
    send, recv = {
        "broadcast": (6 * p, None), "scatter": (2 * p, 2), "gather": (2, 2 * p), "allgather": (2, 2 * p),
        "reduce_scatter": (2 * p, 2),
    }.get(operation, (6 * p, 6 * p))
    return [np.ones(n) for n in (send, recv) if n is not None]


def algorithms(*operations):
    return [
        a for a in ALGORITHMS.values()
        if a.operation != "barrier" and (not operations or a.operation in operations)
    ]


def wrong(comm, algorithm, place, buffer, *words, **options):
    """The call with this buffer at this place (0: sendbuf, 1: recvbuf) is refused, with the name and the rank."""
    arguments = good(comm, algorithm.operation)
    if place >= len(arguments):
        return
    arguments[place] = buffer
    if algorithm.operation in ROOTED:
        options.setdefault("root", comm.rank)  # everybody reads all arguments as the root
    refused(
        lambda: algorithm.function(comm, *arguments, **options),
        algorithm.name, f"on rank {comm.rank} of {comm.size}", *words,
    )


def check_buffers_that_are_no_contiguous_arrays_of_mpi_types(comm):
    name = {0: "sendbuf", 1: "recvbuf"}
    for a in algorithms():
        for place in (0, 1):
            word = "buffer" if a.operation == "broadcast" else name[place]
            n = good(comm, a.operation)[min(place, len(good(comm, a.operation)) - 1)].size
            wrong(comm, a, place, [1.0] * n, word, "list", "Pass a NumPy array")
            wrong(comm, a, place, 3.0, word, "float")
            wrong(comm, a, place, bytearray(8 * n), word, "bytearray")
            wrong(comm, a, place, io.BytesIO(), word, "BytesIO")
            wrong(comm, a, place, np.ones(2 * n)[::2], word, "not contiguous", "strides (16,)", "ascontiguousarray")
            if n > 2:
                wrong(comm, a, place, np.asfortranarray(np.ones((2, n // 2))), word, "not contiguous", "shape (2,")
            for dtype in ("f2", "O", "M8[s]", "S3", "U2", [("a", "i4"), ("b", "f8")], ">f8", ">i4"):
                wrong(comm, a, place, np.zeros(n, dtype), word, "MPI does not know", "Convert")
            wrong(comm, a, place, torch.ones(n, dtype=torch.bfloat16), word, "bfloat16", "Convert")
            wrong(comm, a, place, torch.ones(n, dtype=torch.float16), word, "float16", "Convert")
            wrong(comm, a, place, torch.ones(n, dtype=torch.complex64).conj(), word, "complex64", "Convert")
            wrong(comm, a, place, torch.ones(2 * n)[::2], word, "contiguous: False")
            wrong(comm, a, place, torch.ones(n, device="meta"), word, "meta")
        if a.operation != "broadcast":
            frozen = good(comm, a.operation)[1]
            frozen.flags.writeable = False
            wrong(comm, a, 1, frozen, "recvbuf is read-only")


def check_none_and_in_place_where_they_do_not_belong(comm):
    for a in algorithms("reduce", "gather", "scatter"):
        wrong(comm, a, 1 if a.operation != "scatter" else 0, None, "None at the root", "Pass the buffer")
        wrong(comm, a, 0 if a.operation != "scatter" else 1, None, "NoneType")
    for a in algorithms("allgather", "allreduce", "alltoall", "scan", "exscan", "reduce_scatter", "broadcast"):
        for place in (0, 1):
            wrong(comm, a, place, None, "NoneType")
            if place or a.operation == "broadcast":
                wrong(comm, a, place, MPI.IN_PLACE, "InPlace")
    if comm.size > 1:
        root = (comm.rank + 1) % comm.size  # nobody is the root
        for a in algorithms("reduce", "gather"):
            wrong(comm, a, 0, MPI.IN_PLACE, "sendbuf", "InPlace" if a.operation == "gather" else "IN_PLACE", root=root)
        for a in algorithms("scatter"):
            wrong(comm, a, 1, MPI.IN_PLACE, "recvbuf", "InPlace", root=root)


def check_roots_that_are_no_ranks(comm):
    for a in algorithms(*ROOTED):
        for root in (-1, comm.size, True, 1.0, None, "0", MPI.PROC_NULL, MPI.ANY_SOURCE):
            arguments = good(comm, a.operation)
            refused(
                lambda a=a, arguments=arguments, root=root: a.function(comm, *arguments, root=root),
                f"{a.name} on rank {comm.rank} of {comm.size}", f"root={root!r}", f"0 to {comm.size - 1}",
            )
        if can_run(comm, a):
            a.function(comm, *good(comm, a.operation), root=np.int32(comm.size - 1))  # NumPy's integers are fine


def check_sizes_and_types_that_do_not_fit_together(comm):
    p = comm.size
    for a in algorithms():
        if a.operation == "broadcast":
            continue
        arguments = good(comm, a.operation)
        n = arguments[1].size
        wrong(comm, a, 1, np.ones(n, "f4"), "float32", "float64", "Make them equal")
        wrong(comm, a, 1, np.ones(n, "i8"), "int64", "float64")
        wrong(comm, a, 1, np.ones(n + p), f"{n + p}" if a.operation not in ("gather", "allgather") else "3")
        if a.operation in ("scatter", "reduce_scatter"):
            wrong(comm, a, 0, np.ones(3 * p), "2 ", "3 ", "Make them equal")
        if p > 1 and a.operation in ("scatter", "reduce_scatter"):
            wrong(comm, a, 0, np.ones(2 * p + 1), f"{2 * p + 1} elements do not divide into {p}", "counts=")
        if p > 1 and a.operation in ("gather", "allgather"):
            wrong(comm, a, 1, np.ones(2 * p + 1), f"{2 * p + 1} elements do not divide into {p}", "counts=")
    if p > 1:
        for a in algorithms("alltoall"):
            x, y = np.ones(p + 1), np.ones(p + 1)
            refused(lambda a=a, x=x, y=y: a.function(comm, x, y), a.name, f"{p + 1} elements do not divide into {p}")


def check_counts_that_do_not_describe_the_buffer(comm):
    p = comm.size
    for a in algorithms("scatter", "gather", "allgather", "reduce_scatter"):
        for counts in (
            2, "2" * p, {2}, [2] * (p + 1), [2] * (p - 1), [2.0] * p, [True] * p, [-2] + [2] * (p - 1), [None] * p,
            np.full((1, p), 2), [3] * p, np.full(p, 2.0),
        ):
            arguments = good(comm, a.operation)
            for root in range(p) if a.operation in ROOTED else [None]:
                options = {} if root is None else {"root": root}
                refused(
                    lambda a=a, x=arguments, c=counts, o=options: a.function(comm, *x, counts=c, **o),
                    f"{a.name} on rank {comm.rank} of {p}", "counts",
                )


def check_buffers_that_share_memory(comm):
    p = comm.size
    for a in algorithms("allreduce", "scan", "exscan", "alltoall"):
        x = np.ones(2 * p)
        for recv in (x, x[:], x.view()):
            refused(lambda a=a, x=x, r=recv: a.function(comm, x, r), a.name, "share memory", "MPI.IN_PLACE")
        y = torch.ones(2 * p)
        refused(lambda a=a, y=y: a.function(comm, y, y), "share memory")
        whole = np.ones(2 * p + 1)
        refused(lambda a=a, w=whole: a.function(comm, w[1:], w[:-1]), "share memory")
    whole = np.ones(2 * p)
    for a in algorithms("allgather", "gather"):
        options = {"root": comm.rank} if a.operation == "gather" else {}
        refused(lambda a=a, o=options: a.function(comm, whole[-2:], whole, **o), a.name, "share memory")
    for a in algorithms("scatter", "reduce_scatter"):
        options = {"root": comm.rank} if a.operation == "scatter" else {}
        refused(lambda a=a, o=options: a.function(comm, whole, whole[:2], **o), a.name, "share memory")
    for a in algorithms("reduce"):
        refused(lambda a=a: a.function(comm, whole, whole, root=comm.rank), a.name, "share memory")


def check_operations_that_do_not_fit(comm):
    for a in algorithms(*REDUCING):
        options = {"root": comm.rank} if a.operation == "reduce" else {}
        for op, dtype, words in (
            (MPI.SUM, "?", ("MPI.SUM", "bool")), (MPI.MAX, "c16", ("MPI.MAX", "complex128")),
            (MPI.MIN, "?", ("MPI.MIN", "bool")), (MPI.BAND, "f8", ("MPI.BAND", "float64")),
            (MPI.LAND, "f4", ("MPI.LAND", "float32")), (MPI.BXOR, "?", ("MPI.BXOR", "bool")),
            (MPI.MAXLOC, "f8", ("not defined",)), (MPI.MINLOC, "i4", ("not defined",)), (MPI.REPLACE, "f8", ("not defined",)),
            (MPI.OP_NULL, "f8", ("no operation",)), (None, "f8", ("op=None",)), (np.add, "f8", ("ufunc",)), (max, "f8", ("max",)),
            ("sum", "f8", ("'sum'",)),
        ):
            send, recv = (x.astype(dtype) for x in good(comm, a.operation))
            refused(
                lambda a=a, s=send, r=recv, op=op, o=options: a.function(comm, s, r, op=op, **o),
                f"{a.name} on rank {comm.rank} of {comm.size}", *words,
            )
        if not a.keeps_order:
            send, recv = (x.astype("i8") for x in good(comm, a.operation))
            refused(
                lambda a=a, s=send, r=recv, o=options: a.function(comm, s, r, op=AFFINE, **o), a.name, "does not commute",
                "keeps it",
            )


def check_other_options(comm):
    options = {"broadcast_chain": "segment_bytes", "allreduce_segmented_ring": "segment_bytes"}
    for name, option in (options | {"allreduce_chunked_ring": "chunk_bytes"}).items():
        a = ALGORITHMS[name]
        for value in (0, -1, 2.0, True, None, "8"):
            arguments = good(comm, a.operation)
            refused(lambda a=a, x=arguments, v=value, o=option: a.function(comm, *x, **{o: v}), name, option, repr(value))
    a = ALGORITHMS["allreduce_hierarchical"]
    for value in (0, -1, 1.5, True, "2"):
        arguments = good(comm, a.operation)
        refused(lambda x=arguments, v=value: a.function(comm, *x, ranks_per_node=v), "ranks_per_node", repr(value))


def check_a_communicator_works_after_mistakes(comm):
    """Nothing was sent by any of the calls above: the next collectives are right."""
    for a in filter(functools.partial(can_run, comm), algorithms("allreduce")):
        x = np.full(3, comm.rank)
        a.function(comm, MPI.IN_PLACE, x)
        assert x.tolist() == [comm.size * (comm.size - 1) // 2] * 3
    assert comm.size == 1 or not comm.Iprobe()
