"""MPI's errors with the rank, the call and the values in them, the same on real and on simulated ranks."""

from __future__ import annotations

from mpi4py import MPI

TAG_UB = MPI.COMM_SELF.Get_attr(MPI.TAG_UB)
NAMES = {
    getattr(MPI, name): name
    for name in (
        "ERR_RANK", "ERR_TAG", "ERR_ROOT", "ERR_COUNT", "ERR_BUFFER", "ERR_TYPE", "ERR_OP", "ERR_TRUNCATE",
        "ERR_COMM", "ERR_REQUEST", "ERR_ARG", "ERR_DIMS", "ERR_TOPOLOGY",
    )
}


class MPIError(MPI.Exception):
    """An ``mpi4py.MPI.Exception`` that says who called what.

    ``Get_error_class()`` is that of MPI; ``str()`` is, for example,
    ``"rank 1: Send(dest=7, tag=0): there is no rank 7, the ranks are 0 to 3 (MPI_ERR_RANK)"``.
    """

    def __init__(self, error_class: int, text: str):
        super().__init__(error_class)
        self.text = text

    def __str__(self) -> str:
        error_class = self.Get_error_class()
        return f"{self.text} (MPI_{NAMES.get(error_class, f'error {error_class}')})"

    def __reduce__(self):
        return type(self), (self.Get_error_class(), self.text)


def peer_problem(peer, size: int, *, word: str) -> str:
    """What is wrong with a rank argument."""
    return f"there is no rank {peer}, {word} is one of 0 to {size - 1}" if size > 1 else (
        f"there is no rank {peer}, the only rank is 0"
    )


def tag_problem(tag) -> str:
    """What is wrong with a tag."""
    return f"a tag is 0 to {TAG_UB}, not {tag}"


def truncation_problem(num_bytes: int, room: int, source: int, tag: int) -> str:
    """A message that is larger than its receive buffer; from anybody, with any tag, where that is not known."""
    whose = (f" from rank {source}" if source >= 0 else "") + (f" with tag {tag}" if tag >= 0 else "")
    return f"the message{whose} has {num_bytes} bytes, the receive buffer room for {room}: make the counts equal on both sides"
