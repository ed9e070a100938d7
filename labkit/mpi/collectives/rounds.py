"""A collective algorithm round by round: which messages travel, and what every rank then holds.

The algorithm itself runs, on simulated ranks, and a message belongs to the round that the simulator counts
it in. Its data are tags: a tag says whose block it is, or which ranks' contributions are in a partial sum,
and the messages tell what each rank has learned.

::

    allreduce_ring, 3 ranks, ranks whose contributions are in each chunk:

               start          round 1        round 2         round 3          round 4
    rank 0     0   0   0      0   0   02     0   012 02      012 012 02       012 012 012
    rank 1     1   1   1      01  1   1      01  1   012     01  012 012      012 012 012
    rank 2     2   2   2      2   12  2      012 12  2       012 12  012      012 012 012
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import Simulation
from labkit.errors import UsageError
from labkit.mpi.collective_calls import EQUAL_BLOCKS, REDUCES, own_size, prepare
from labkit.mpi.collectives.registry import Algorithm, find

MAX_RANKS = 32  # a tag has a bit a rank
NOTHING = -1
BY_RANK = ("barrier", "scan", "exscan", "alltoall")  # one column a rank, whatever the buffer's size
# Chunks of a rank that show the pieces, and the option for p ranks that makes a piece of one element a block.
PIECES = {
    "broadcast_chain": (1, lambda p: {"segment_bytes": 8}),
    "allreduce_segmented_ring": (2, lambda p: {"segment_bytes": 8}),
    "allreduce_chunked_ring": (2, lambda p: {"chunk_bytes": 8}),
}
RANKS_PER_NODE = 4


@dataclass(frozen=True, slots=True)
class RoundMessage:
    """A message from ``source`` to ``dest`` with so many chunks; 0 for an empty one. ``chunks`` names them."""

    source: int
    dest: int
    num_chunks: int
    chunks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectiveRounds:
    """What happens in each round of a collective, and what is where after it.

    Attributes
    ----------
    name, operation : str
    num_ranks, num_chunks : int
        Rows and columns of a state. In a barrier, a scan and an all-to-all a column is a rank: whose news,
        whose contribution, whose block.
    root : int
    holds : {"blocks", "contributions"}
        What the numbers of a state mean.
    rounds : tuple of tuple of RoundMessage
        The messages that are received in each round.
    states : tuple of tuple of tuple of int
        ``states[k][rank][chunk]`` after k rounds; ``states[0]`` is the start. For blocks: the rank whose block
        is there, or -1. For contributions: a bit mask of the ranks whose contributions are in it.
    goal : tuple of tuple of int or None
        The same at the end, where the operation says so; None where it does not matter what is there.
    cost_options : tuple of (str, int)
        What ``Algorithm.cost`` needs besides ranks and elements, for the same run with 8-byte chunks.
    """

    name: str
    operation: str
    num_ranks: int
    num_chunks: int
    root: int
    holds: str
    rounds: tuple[tuple[RoundMessage, ...], ...]
    states: tuple[tuple[tuple[int, ...], ...], ...]
    goal: tuple[tuple[int | None, ...], ...]
    cost_options: tuple[tuple[str, int], ...] = ()

    @property
    def num_rounds(self) -> int:
        return len(self.rounds)

    @property
    def num_messages(self) -> int:
        """Of all rounds."""
        return sum(map(len, self.rounds))

    def fraction(self, step: int, rank: int, chunk: int) -> float:
        """How complete a cell is after ``step`` rounds, 0 to 1: of the contributions that belong there at the end.

        Where nothing in particular belongs, of all ranks' contributions.
        """
        value = self.states[step][rank][chunk]
        if self.holds == "blocks":
            return float(value != NOTHING)
        wanted = self.goal[rank][chunk]
        whole = self.num_ranks if wanted is None else max(1, wanted.bit_count())
        return min(1.0, value.bit_count() / whole)

    def is_done(self, step: int, rank: int) -> bool:
        """Whether the rank has all that the operation promises it."""
        pairs = zip(self.states[step][rank], self.goal[rank], strict=True)
        return all(wanted is None or have == wanted for have, wanted in pairs)


def collective_rounds(
    name: str, num_ranks: int, *, root: int = 0, num_chunks: int | None = None, **options
) -> CollectiveRounds:
    """Run an algorithm and note, round by round, what travels and what is where.

    Parameters
    ----------
    name : str
        Of an algorithm that sends messages.
    num_ranks : int
        1 to 32.
    root : int
        Of the operations that have one.
    num_chunks : int, optional
        Into how many chunks the whole buffer is cut for the picture; a multiple of ``num_ranks`` where the
        operation needs equal blocks. By default one a rank; twice as many for a ring that takes blocks in pieces.
    **options
        Of the algorithm: ``ranks_per_node`` (4 by default), ``segment_bytes`` (one chunk of 8 bytes by default).

    Returns
    -------
    CollectiveRounds

    Raises
    ------
    UsageError
        No such algorithm, or one without messages; ranks, root or chunks out of range.

    Notes
    -----
    A message belongs to the round in which it is received, as the simulator counts rounds and ``Algorithm.cost``
    gives them. A rank sends at most one and receives at most one in a round; what is sent at once to one rank is
    received one after the other. What a rank has given away stays visible.

    Examples
    --------
    >>> ring = collective_rounds("allgather_ring", 3)
    >>> ring.rounds[0]
    (RoundMessage(source=2, dest=0, num_chunks=1, chunks=(2,)), \
RoundMessage(source=0, dest=1, num_chunks=1, chunks=(0,)), RoundMessage(source=1, dest=2, num_chunks=1, chunks=(1,)))
    >>> ring.states[1]
    ((0, -1, 2), (0, 1, -1), (-1, 1, 2))
    >>> collective_rounds("allreduce_ring", 3).states[1][0]  # rank 0 has rank 2's contribution to chunk 0, too
    (1, 1, 5)
    """
    algorithm = find(name)
    if algorithm.needs_shared_memory:
        raise UsageError(f"{name} sends no messages, so it has no rounds: its ranks read each other's memory.")
    if not 1 <= num_ranks <= MAX_RANKS or not 0 <= root < num_ranks:
        raise UsageError(f"rounds are shown for 1 to {MAX_RANKS} ranks and a root among them, not {num_ranks} and {root}.")
    num_elements = _num_elements(algorithm, num_ranks, num_chunks)
    options = _options(name, num_ranks, options)
    tapped: list[_Tap] = []
    simulation = Simulation(num_ranks, network=alpha_beta(1, 0))
    for rank in simulation.world.ranks:
        rank.recorder = _Tap(rank.rank, tapped)

    def program(comm):
        own = _tags(algorithm.operation, comm.rank, num_ranks, num_elements)
        prepare(comm, algorithm, own, root=root, op=MPI.BOR, **options)[0]()

    simulation.run(program)
    simulation.outcome()
    return _story(algorithm, num_ranks, num_elements, root, tapped, options)


def _num_elements(algorithm: Algorithm, num_ranks: int, num_chunks: int | None) -> int:
    """Of the whole buffer, an element a chunk."""
    operation = algorithm.operation
    if operation == "barrier":
        return 0
    if num_chunks is None:
        if operation in ("scan", "exscan"):
            return 1
        return num_ranks * (PIECES[algorithm.name][0] if algorithm.name in PIECES else 1)
    if num_chunks < 1 or (operation in EQUAL_BLOCKS and num_chunks % num_ranks):
        raise UsageError(f"{algorithm.name}: {num_chunks} chunks do not divide into {num_ranks} equal blocks of at least one.")
    return num_chunks


def _options(name: str, num_ranks: int, options: dict) -> dict:
    if name == "allreduce_hierarchical":
        return {"ranks_per_node": RANKS_PER_NODE} | options
    return (PIECES[name][1](num_ranks) | options) if name in PIECES else options


def _tags(operation: str, rank: int, num_ranks: int, num_elements: int) -> np.ndarray:
    """What a rank contributes: for blocks the number of the chunk, for a reduction chunk and own bit."""
    size = own_size(operation, num_ranks, num_elements)
    numbers = np.arange(size, dtype=np.int64)
    if operation in REDUCES:
        return (numbers << MAX_RANKS) | (1 << rank)  # BOR of tags of one chunk keeps the chunk
    return numbers + rank * size if operation in ("gather", "allgather", "alltoall") else numbers


class _Tap:
    """Stands in the place of a rank's recorder and keeps (round, source, dest, tags) of all it receives."""

    def __init__(self, rank: int, found: list):
        self.rank, self.found = rank, found
        self.round = 0

    def _note(self, request) -> None:
        message = request.message
        if message is not None:
            self.round = max(message.round, self.round + 1)  # as the simulated rank counts it
            source = request.comm.members[message.source]
            self.found.append((self.round, source, self.rank, tuple(message.data.reshape(-1).tolist())))

    def receive_span(self, call, start, request) -> None:
        self._note(request)

    def sendrecv_span(self, comm, call, start, receive, dest, sendtag, num_bytes) -> None:
        self._note(receive)

    def wait_span(self, call, start, requests) -> None:
        for request in requests:
            if request.kind == "recv":
                self._note(request)

    def span(self, *args, **options) -> None:
        """Nothing: a message counts when it is received."""

    send_span = start_span = probe_span = span


def _story(algorithm, num_ranks, num_elements, root, tapped, options) -> CollectiveRounds:
    """States from messages: what a rank holds is what it had and what has arrived."""
    operation = algorithm.operation
    adds_up = operation in REDUCES or operation == "barrier"
    by_round: dict[int, list] = {}
    for number, source, dest, tags in sorted(tapped, key=lambda m: (m[0], m[2], m[1])):
        by_round.setdefault(number, []).append((source, dest, tags))
    num_columns = num_ranks if operation in BY_RANK else num_elements
    state = _start(operation, num_ranks, num_columns, root)
    states, rounds = [_frozen(state)], []
    for number in range(1, max(by_round, default=0) + 1):
        before = states[-1]  # a message left when its round began
        messages = by_round.get(number, ())
        for source, dest, tags in messages:
            for column, value in _learned(operation, num_ranks, num_elements, before[source], dest, tags, root):
                state[dest][column] = state[dest][column] | value if adds_up else value
        states.append(_frozen(state))
        rounds.append(
            tuple(RoundMessage(s, d, len(t), _chunks(operation, num_ranks, num_elements, t)) for s, d, t in messages)
        )
    return CollectiveRounds(
        algorithm.name, operation, num_ranks, num_columns, root, "contributions" if adds_up else "blocks",
        tuple(rounds), tuple(states), _goal(operation, num_ranks, num_columns, root), tuple(options.items()),
    )


def _frozen(state) -> tuple[tuple[int, ...], ...]:
    return tuple(map(tuple, state))


def _start(operation: str, num_ranks: int, num_columns: int, root: int) -> list[list[int]]:
    """What every rank holds before the first message."""
    if operation in ("barrier", "scan", "exscan"):
        own = 0 if operation == "exscan" else 1
        return [[own << rank if column == rank else 0 for column in range(num_columns)] for rank in range(num_ranks)]
    if operation in REDUCES:
        return [[1 << rank] * num_columns for rank in range(num_ranks)]
    owners = _owners(operation, num_ranks, num_columns, root)
    if operation in ("broadcast", "scatter"):
        return [owners[:] if rank == root else [NOTHING] * num_columns for rank in range(num_ranks)]
    return [[owner if owner == rank else NOTHING for owner in owners] for rank in range(num_ranks)]


def _owners(operation: str, num_ranks: int, num_columns: int, root: int) -> list[int]:
    """By chunk: the rank whose block it is part of; of a broadcast all are the root's."""
    if operation == "broadcast":
        return [root] * num_columns
    return [column // (num_columns // num_ranks) for column in range(num_columns)]


def _goal(operation: str, num_ranks: int, num_columns: int, root: int) -> tuple[tuple[int | None, ...], ...]:
    """What the operation promises each rank; None where it promises nothing."""
    ranks, columns = range(num_ranks), range(num_columns)
    everybody = (1 << num_ranks) - 1
    if operation in ("scan", "exscan"):
        last = 0 if operation == "scan" else -1  # the last rank that counts, from the own one
        rows = [[1 << c if c <= r + last else 0 for c in columns] for r in ranks]
        if operation == "exscan":
            rows[0] = [None] * num_columns
        return _frozen(rows)
    if operation == "barrier":
        return _frozen([[1 << c for c in columns] for _ in ranks])
    owners = _owners(operation, num_ranks, num_columns, root) if operation != "reduce" and operation != "allreduce" else []
    if operation in ("scatter", "reduce_scatter"):
        full = [everybody] * num_columns if operation == "reduce_scatter" else owners
        return _frozen([[full[c] if owners[c] == r else None for c in columns] for r in ranks])
    full = [everybody] * num_columns if operation in ("reduce", "allreduce") else owners
    only_root = operation in ("gather", "reduce")
    return _frozen([[None] * num_columns if only_root and r != root else full for r in ranks])


def _learned(operation, num_ranks, num_elements, sender_row, dest, tags, root):
    """(column, value) of all that a message brings to ``dest``."""
    if operation == "barrier":  # its messages are empty: they say that the sender has come this far
        return list(enumerate(sender_row))
    if operation in ("scan", "exscan"):  # one vector, whole: its first element tells of all
        return [(rank, tags[0] & 1 << rank) for rank in range(num_ranks)] if tags else []
    if operation in REDUCES:
        return [(tag >> MAX_RANKS, tag & (1 << MAX_RANKS) - 1) for tag in tags]
    if operation == "alltoall":  # others' blocks may pass through; only those for here are shown
        pairs = (divmod(chunk, num_ranks) for chunk in _chunks(operation, num_ranks, num_elements, tags))
        return [(source, source) for source, last in pairs if last == dest]
    if operation == "broadcast":
        return [(tag, root) for tag in tags]
    return [(tag, tag // (num_elements // num_ranks)) for tag in tags]


def _chunks(operation: str, num_ranks: int, num_elements: int, tags) -> tuple[int, ...]:
    """The chunks that tags name; in an all-to-all, source * num_ranks + dest of a block."""
    if operation in REDUCES:
        return tuple(tag >> MAX_RANKS for tag in tags)
    if operation == "alltoall":
        block = num_elements // num_ranks
        pairs = [(tag // num_elements, tag % num_elements // block) for tag in tags]
        return tuple(dict.fromkeys(source * num_ranks + dest for source, dest in pairs))
    return tags
