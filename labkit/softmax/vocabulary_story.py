"""Cross-entropy over ranks as it happens: what each rank has, what the three all-reduces carry, and who sends to whom.

:func:`labkit.softmax.vocabulary_parallel.parallel_cross_entropy` runs on simulated ranks; what it hands to its
all-reduces is noted, and each of these runs once more alone, so that its messages are told from the others'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.softmax.arguments import count

MOST_RANKS, MOST_ROWS, MOST_COLUMNS = 16, 64, 64
NAMES = ("maxima", "sums", "logits of the targets")


@dataclass(frozen=True, slots=True)
class StoryMessage:
    """A message: it arrives at the end of ``round``, counted from 1."""

    round: int
    source: int
    dest: int
    num_bytes: int


@dataclass(frozen=True, eq=False)
class Reduction:
    """One of the all-reduces.

    Attributes
    ----------
    name, op : str
        What is reduced, and ``"MAX"`` or ``"SUM"``.
    before : ndarray of float64, shape (num_ranks, num_rows)
        What each rank brings.
    after : ndarray of float64, shape (num_rows,)
        What all have then.
    messages : tuple of StoryMessage
        In order of their arrival.
    """

    name: str
    op: str
    before: np.ndarray
    after: np.ndarray
    messages: tuple[StoryMessage, ...]

    @property
    def num_bytes(self) -> int:
        """Of all messages."""
        return sum(message.num_bytes for message in self.messages)

    @property
    def num_rounds(self) -> int:
        """Messages that had to wait for each other."""
        return max((message.round for message in self.messages), default=0)


@dataclass(frozen=True, eq=False)
class VocabularyStory:
    """A loss computed by ranks of which each has the logits of some classes.

    Attributes
    ----------
    algorithm : str
        Of the all-reduces.
    logits : ndarray of float64, shape (num_rows, num_columns)
    targets : ndarray of int64, shape (num_rows,)
    columns : tuple of (int, int)
        By rank: the first of its columns and the one behind its last.
    own_maxima, own_sums : ndarrays of float64, shape (num_ranks, num_rows)
        The state (m, d) of each rank's own columns.
    reductions : tuple of Reduction
        Three: of maxima, of sums scaled to the common maximum, of logits of the targets.
    losses : ndarray of float64, shape (num_rows,)
    num_messages, num_bytes : int
        Of the whole computation, as it was simulated.
    """

    algorithm: str
    logits: np.ndarray
    targets: np.ndarray
    columns: tuple[tuple[int, int], ...]
    own_maxima: np.ndarray
    own_sums: np.ndarray
    reductions: tuple[Reduction, ...]
    losses: np.ndarray
    num_messages: int
    num_bytes: int

    @property
    def num_ranks(self) -> int:
        return len(self.columns)

    def gathering_bytes(self, num_columns: int | None = None) -> int:
        """What it would take to bring all logits to all ranks: each gets what it has not, in float64.

        Parameters
        ----------
        num_columns : int, optional
            Of all ranks together; those of the story by default.
        """
        width = self.logits.shape[1] if num_columns is None else num_columns
        return (self.num_ranks - 1) * len(self.logits) * width * 8


def vocabulary_story(
    num_ranks: int = 4, *, num_rows: int = 2, num_columns: int = 16, algorithm: str = "allreduce_recursive_doubling",
    seed: int = 1,
) -> VocabularyStory:  # fmt: skip
    """Run vocabulary-parallel cross-entropy on simulated ranks and note what happens.

    Parameters
    ----------
    num_ranks : int
        1 to 16.
    num_rows, num_columns : int
        1 to 64 each.
    algorithm : str
        An all-reduce of :mod:`labkit.mpi.collectives` that sends messages.
    seed : int
        Of logits and targets.

    Raises
    ------
    UsageError
        Other values.

    Examples
    --------
    >>> story = vocabulary_story(4, num_rows=2, num_columns=16)
    >>> [(r.op, r.num_rounds, len(r.messages), r.num_bytes) for r in story.reductions]
    [('MAX', 2, 8, 128), ('SUM', 2, 8, 128), ('SUM', 2, 8, 128)]
    >>> story.num_bytes, story.gathering_bytes(), story.gathering_bytes(131072)
    (384, 768, 6291456)
    """
    from mpi4py import MPI

    from labkit.comm.network.model import alpha_beta
    from labkit.comm.simulated.run import simulate
    from labkit.mpi.collectives.registry import family, find
    from labkit.softmax.blocked import block_states
    from labkit.softmax.vocabulary_parallel import columns_of, parallel_cross_entropy

    for name, value, most in (
        ("num_ranks", num_ranks, MOST_RANKS), ("num_rows", num_rows, MOST_ROWS),
        ("num_columns", num_columns, MOST_COLUMNS),
    ):
        if count(name, value) > most:
            raise UsageError(f"vocabulary_story: {name} is 1 to {most}, not {value}: pass such a number.")
    known = [a.name for a in family("allreduce") if not a.needs_shared_memory]
    if algorithm not in known:
        raise UsageError(
            f"vocabulary_story: algorithm is one of {', '.join(known)}, not {algorithm!r}: pass one of them."
        )
    function = find(algorithm).function
    rng = np.random.default_rng(count("seed", seed, 0))
    logits = np.round(rng.standard_normal((num_rows, num_columns)) * 3, 1)
    targets = rng.integers(0, num_columns, num_rows)
    columns = [columns_of(num_columns, num_ranks, rank) for rank in range(num_ranks)]
    network = alpha_beta(1, 0)  # a message takes a second: times are rounds

    def program(comm):
        noted = []

        def allreduce(comm, sendbuf, recvbuf, *, op):
            kept = np.array(sendbuf)
            function(comm, sendbuf, recvbuf, op=op)
            noted.append(("MAX" if op == MPI.MAX else "SUM", kept, np.array(recvbuf)))

        mine = np.ascontiguousarray(logits[:, columns[comm.rank]])
        return parallel_cross_entropy(comm, mine, targets, num_columns=num_columns, allreduce=allreduce), noted

    run = simulate(num_ranks, program, network=network)
    loss, noted = run.results[0]
    reductions = []
    for k, (name, (op, _, after)) in enumerate(zip(NAMES, noted, strict=True)):
        before = np.array([of_rank[k][1] for _, of_rank in run.results])

        def alone(comm, before=before, op=op):
            function(comm, before[comm.rank].copy(), np.empty(num_rows), op=getattr(MPI, op))

        timeline = simulate(num_ranks, alone, network=network, trace=True).timeline
        messages = sorted((round(m.recv_end_ns / 1e9), m.source, m.dest, m.num_bytes) for m in timeline.messages)
        reductions.append(Reduction(name, op, before, after, tuple(StoryMessage(*m) for m in messages)))
    states = [block_states(logits[:, c]) if c.stop > c.start else _nothing(num_rows) for c in columns]
    return VocabularyStory(
        algorithm, logits, targets, tuple((c.start, c.stop) for c in columns), np.array([m for m, _ in states]),
        np.array([d for _, d in states]), tuple(reductions), loss.losses, run.counts.num_messages, run.counts.num_bytes,
    )


def _nothing(num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    return np.full(num_rows, -np.inf), np.zeros(num_rows)
