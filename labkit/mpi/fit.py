"""What this machine's messages cost, what algorithms will take on it, and which one to choose."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from labkit.comm.network.model import Network, alpha_beta
from labkit.errors import UsageError
from labkit.hardware.messages import fit_alpha_beta, run_mpi
from labkit.mpi.collective_calls import num_elements_for
from labkit.mpi.collectives.registry import family, find
from labkit.mpi.curves import predicted_time_s
from labkit.mpi.run_off import DEFAULT_SECONDS as RUN_OFF_SECONDS
from labkit.mpi.run_off import MOST_RANKS, check_seconds, fastest

DEFAULT_SECONDS = 4.0
LONGEST_SECONDS = 10.0
# In these, one rank of a pair sends and the other receives; in all others both do both.
ONE_WAY = {"broadcast", "scatter", "gather", "reduce", "scan", "exscan"}
# Though of these operations, these too do both: they end with an all-gather, or begin with a reduce-scatter.
BOTH_WAYS = {"broadcast_scatter_allgather", "reduce_rabenseifner"}
# These combine into memory that no other rank reads; in all others a sum is written where one has just read.
OWN_SUMS = {
    "reduce_flat", "reduce_binomial", "reduce_scatter_pairwise", "reduce_scatter_recursive_halving", "reduce_scatter_ring",
    "scan_linear", "exscan_linear", "scan_recursive_doubling", "exscan_recursive_doubling",
}
# Copies of n elements that an algorithm makes for itself besides.
COPIES = {"alltoall_bruck": 3, "allgather_bruck": 1.5, "reduce_scatter_recursive_halving": 0.5}
# Messages that are started and awaited apart: three calls each, not one.
NON_BLOCKING = {"allreduce_chunked_ring", "allreduce_segmented_ring", "allreduce_all_pairs", "alltoall_linear"}
# Segments of a block that follow each other take the time of the block, for one is on its way while another is
# awaited. By the number of ranks: rounds of a segment until the pipeline is full, and blocks one after the other.
PIPELINED = {"broadcast_chain": lambda p: (p - 2, 1), "allreduce_segmented_ring": lambda p: (0, 2 * (p - 1)),
             "allreduce_chunked_ring": lambda p: (0, 2 * (p - 1))}


@dataclass(frozen=True)
class MachineFit:
    """Measured costs of messages between ``num_ranks`` ranks of this machine, by size.

    Attributes
    ----------
    num_ranks : int
    sizes_bytes : tuple of int
    one_way_s, exchange_s, reduce_s, own_reduce_s, copy_s : tuple of float
        A message; a message each way at once; combining two vectors, into memory that another rank has just
        read, and into memory of one's own; a copy, in s.
    alpha_s, beta_s_per_byte, gamma_s_per_byte : float
        The lines through them: ``exchange = alpha + beta * bytes``, ``reduce = gamma * bytes``.
    overhead_s : float
        What an algorithm does in a round besides its message, in s.
    """

    num_ranks: int
    sizes_bytes: tuple[int, ...]
    one_way_s: tuple[float, ...]
    exchange_s: tuple[float, ...]
    reduce_s: tuple[float, ...]
    own_reduce_s: tuple[float, ...]
    copy_s: tuple[float, ...]
    alpha_s: float
    beta_s_per_byte: float
    gamma_s_per_byte: float
    overhead_s: float = 0.0

    @classmethod
    def from_samples(cls, num_ranks: int, sizes_bytes: Sequence[int], overhead_s: float = 0.0, **times_s: Sequence[float]) -> MachineFit:
        """From measured times (keywords ``one_way``, ``exchange``, ``reduce``, ``own_reduce``, ``copy``), with the lines fitted."""
        alpha, beta = fit_alpha_beta(sizes_bytes, times_s["exchange"])
        _, gamma = fit_alpha_beta(sizes_bytes, times_s["reduce"])
        rows = (tuple(float(t) for t in times_s[name]) for name in ("one_way", "exchange", "reduce", "own_reduce", "copy"))
        return cls(num_ranks, tuple(sizes_bytes), *rows, alpha, beta, gamma, overhead_s)

    def _at(self, times_s: tuple[float, ...], num_bytes: float) -> float:
        """A time at any size: between measured sizes on a straight line in the logarithms, beyond them in proportion."""
        sizes = self.sizes_bytes
        if num_bytes <= sizes[0]:
            return times_s[0]
        if num_bytes >= sizes[-1]:
            return times_s[-1] * num_bytes / sizes[-1]
        return float(np.exp(np.interp(np.log(num_bytes), np.log(sizes), np.log(times_s))))

    def predict_s(self, name: str, num_ranks: int, num_bytes: int, *, itemsize: int = 8) -> float:
        """Predicted time of a collective algorithm, in place, in s.

        Each round costs a message of its mean size, at the speed measured for that size; so caches and
        protocols of the MPI library are in it, and not only a straight line.

        Parameters
        ----------
        name : str
            Of an algorithm in :mod:`labkit.mpi.collectives.registry`.
        num_ranks : int
        num_bytes : int
            Of the whole buffer, n elements.
        itemsize : int
            Bytes of an element.
        """
        num_ranks, num_bytes, itemsize = _sizes("predict_s", num_ranks, num_bytes, itemsize)
        algorithm = find(name)
        cost = algorithm.cost(num_ranks, num_elements_for(algorithm.operation, num_ranks, num_bytes, itemsize), itemsize)
        if cost.num_rounds == 0:
            return 0.0
        per_round = cost.path_bytes / cost.num_rounds
        is_one_way = algorithm.operation in ONE_WAY and name not in BOTH_WAYS
        message_s = self.one_way_s if is_one_way else self.exchange_s
        time_s = cost.num_rounds * self._at(message_s, per_round)
        if name in PIPELINED:
            num_segments, num_blocks = PIPELINED[name](num_ranks)
            block_bytes = num_bytes if algorithm.operation == "broadcast" else num_bytes / num_ranks
            time_s = num_segments * self._at(message_s, per_round) + num_blocks * self._at(message_s, block_bytes)
        time_s += cost.num_rounds * self.overhead_s * (3 if name in NON_BLOCKING else 1)
        if cost.path_reduced_bytes:
            reduce_s = self.own_reduce_s if name in OWN_SUMS else self.reduce_s
            time_s += cost.path_reduced_bytes / max(per_round, 1) * self._at(reduce_s, per_round)
        if algorithm.operation == "alltoall":
            time_s += self._at(self.copy_s, num_bytes / num_ranks)  # the own block
        if name in COPIES:
            time_s += COPIES[name] * self._at(self.copy_s, num_bytes)
        return time_s

    def network(self, **changes) -> Network:
        """The fitted line as a network for simulated ranks; ``changes`` are further fields of it."""
        return alpha_beta(
            self.alpha_s, self.beta_s_per_byte, self.gamma_s_per_byte, name="local",
            source=f"fitted on this machine with {self.num_ranks} ranks", **{"eager_limit_bytes": 8192, **changes},
        )


def fit(num_ranks: int = 2, *, seconds: float = DEFAULT_SECONDS) -> MachineFit:
    """Measure messages between real ranks of this machine.

    Parameters
    ----------
    num_ranks : int
        At least 2; as many as the collectives will have, for ranks share cores and memory.
    seconds : float
        How long to measure, at most 10; starting the ranks comes on top.

    Raises
    ------
    UsageError
        Fewer than 2 ranks or very many, or another time.
    NotAvailableError
        MPI does not work here.
    """
    if not _is_whole(num_ranks) or num_ranks < 2:
        raise UsageError(f"fit: a message needs at least 2 ranks, not {num_ranks!r}: pass a whole number, such as 2.")
    if num_ranks > MOST_RANKS:
        raise UsageError(
            f"fit: {num_ranks} real ranks are too many to measure with, at most {MOST_RANKS}: fit fewer, and predict "
            f"for as many as you like with fit(2).predict_s(name, {num_ranks}, num_bytes)."
        )
    if not isinstance(seconds, Real) or not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(f"fit: seconds={seconds!r}: measure for more than 0 and at most {LONGEST_SECONDS:g} s.")
    script = str(Path(__file__).with_name("fit_ranks.py"))
    output = run_mpi([script, str(seconds)], num_ranks, deadline_s=60 + 10 * seconds)
    values = json.loads(output.splitlines()[-1])
    return MachineFit.from_samples(values.pop("num_ranks"), values.pop("sizes_bytes"), values.pop("overhead_s"), **values)


@functools.lru_cache(maxsize=8)
def this_machine(num_ranks: int = 2) -> MachineFit:
    """:func:`fit` for so many ranks, measured once in this process."""
    return fit(num_ranks)


def choose(
    op: str, num_ranks: int, num_bytes: int, *, machine: MachineFit | Network | None = None, itemsize: int = 8,
    run_off_s: float = RUN_OFF_SECONDS, num_nodes: int = 1,
) -> str:
    """The name of the fastest algorithm: on this machine by prediction and a run-off, elsewhere by prediction.

    On this machine, algorithms that are predicted to take at most 1.5 times as long as the best run against each
    other on real ranks for a moment, and the fastest is remembered until this process ends. Prediction alone decides
    where too many ranks (more than 64, or than 4 a core) or too large vectors would have to be started, and where
    they cannot be. What goes through the memory of a node sends no messages, so no formula predicts it: it takes part
    in every run-off of ranks on one node. Times differ from call to call, so a parallel program chooses on one rank and
    broadcasts the name.

    Parameters
    ----------
    op : str
        An operation of the registry, for example ``"allreduce"``.
    num_ranks : int
    num_bytes : int
        Of the whole buffer, n elements.
    machine : MachineFit or Network, optional
        A fit, which predicts from times by size; or a network, which predicts from alpha, beta, gamma: nothing is
        run then. By default this machine, measured at the first call.
    itemsize : int
        Bytes of an element.
    run_off_s : float
        How long a run-off measures, at most 10 s; starting the ranks comes on top.
    num_nodes : int
        On how many nodes the ranks of your program are. With more than one, only algorithms that send messages are
        considered; the run-off is on this machine all the same.

    Returns
    -------
    str

    Raises
    ------
    UsageError
        No such operation, or sizes that are none.
    NotAvailableError
        This machine is to be measured, and MPI does not work here.

    Examples
    --------
    >>> from labkit.comm.network.presets import PRESETS
    >>> choose("allreduce", 256, 8, machine=PRESETS["infiniband-hdr"])
    'allreduce_recursive_doubling'
    """
    check_seconds("choose", run_off_s)
    if not _is_whole(num_nodes) or num_nodes < 1:
        raise UsageError(f"choose: num_nodes is a whole number of at least 1, not {num_nodes!r}: pass such a one.")
    rows = ranking(op, num_ranks, num_bytes, machine=machine, itemsize=itemsize)
    if machine is not None:
        return rows[0][0]
    num_ranks, num_bytes, itemsize = _sizes("choose", num_ranks, num_bytes, itemsize)
    unpredicted = [a.name for a in family(op) if a.needs_shared_memory and num_nodes == 1]
    return fastest(rows, num_ranks, num_bytes, unpredicted, itemsize=itemsize, seconds=run_off_s)


def ranking(
    op: str, num_ranks: int, num_bytes: int, *, machine: MachineFit | Network | None = None, itemsize: int = 8
) -> list[tuple[str, float]]:
    """All algorithms of an operation with their predicted times in s, the fastest first; see :func:`choose`."""
    num_ranks, num_bytes, itemsize = _sizes("choose", num_ranks, num_bytes, itemsize)
    algorithms = family(op)
    if machine is None:
        machine = this_machine(max(2, min(num_ranks, 8)))
    times = [
        (algorithm.name, predict_s(algorithm.name, num_ranks, num_bytes, machine=machine, itemsize=itemsize))
        for algorithm in algorithms
        if not algorithm.needs_shared_memory and algorithm.name != "allreduce_hierarchical"
    ]
    return sorted(times, key=lambda pair: pair[1])


def predict_s(
    name: str, num_ranks: int, num_bytes: int, *, machine: MachineFit | Network, itemsize: int = 8
) -> float:
    """Predicted time of an algorithm in s, by a fit or by a network's alpha, beta and gamma."""
    num_ranks, num_bytes, itemsize = _sizes("predict_s", num_ranks, num_bytes, itemsize)
    if isinstance(machine, MachineFit):
        return machine.predict_s(name, num_ranks, num_bytes, itemsize=itemsize)
    if not isinstance(machine, Network):
        raise UsageError(
            f"predict_s: machine is what fit() gives or a network, not {machine!r}: pass for example "
            f"find_network('ethernet-10g') of labkit.comm.network.presets."
        )
    return predicted_time_s(name, num_ranks, num_bytes, machine, itemsize=itemsize)


def _sizes(call: str, num_ranks, num_bytes, itemsize) -> tuple[int, int, int]:
    """The sizes as Python's own integers: NumPy's may overflow."""
    for name, value, least in (("num_ranks", num_ranks, 1), ("itemsize", itemsize, 1)):
        if not _is_whole(value) or value < least:
            raise UsageError(f"{call}: {name} is a whole number of at least {least}, not {value!r}: pass such a one.")
    if isinstance(num_bytes, bool) or not isinstance(num_bytes, Real) or not 0 <= num_bytes < float("inf"):
        raise UsageError(
            f"{call}: num_bytes is the size of the whole buffer, 0 or more, not {num_bytes!r}: pass such a number."
        )
    return int(num_ranks), math.ceil(num_bytes), int(itemsize)


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def local_network(changes: str = "", *, progress: Callable[[str], None] | None = None) -> Network:
    """This machine as a network, measured at the first call; ``changes`` as for ``--network``."""
    from labkit.comm.network.presets import changed_network

    if progress is not None and not this_machine.cache_info().currsize:
        progress(f"measuring messages on this machine for about {DEFAULT_SECONDS:g} s ...")
    network = this_machine(2).network()
    if progress is not None:
        progress(f"fitted: {network}")
    return changed_network(network, changes)
