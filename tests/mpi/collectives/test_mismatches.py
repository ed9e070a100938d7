"""Ranks that disagree about sizes are told so, or get stuck; they never get a wrong result without a word."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate
from labkit.errors import DeadlockError, RankFailedError, UsageError
from labkit.mpi.collectives.registry import ALGORITHMS

RANKS = Path(__file__).parent / "ranks"
MOVING = [a for a in ALGORITHMS.values() if a.operation != "barrier" and not a.needs_shared_memory]
NETWORKS = (alpha_beta(1e-6, 1e-9), alpha_beta(1e-6, 1e-9, eager_limit_bytes=0))


def arguments(operation, comm, unit, dtype):
    """Right arguments for a world where everybody has this unit."""
    p = comm.size
    whole, block = np.ones(unit * p, dtype), np.ones(unit, dtype)
    at_root = comm.rank == 0
    return {
        "broadcast": [whole], "scatter": [whole if at_root else None, block],
        "gather": [block, whole if at_root else None], "allgather": [block, whole], "reduce_scatter": [whole, block],
        "reduce": [whole, whole.copy() if at_root else None],
    }.get(operation, [whole, whole.copy()])


@pytest.mark.parametrize("algorithm", MOVING, ids=lambda a: a.name)
def test_one_rank_with_another_size(algorithm):
    for p in (2, 3, 4, 5, 6):
        for odd in range(p):
            for unit, other in ((4, 3), (4, 5), (3, 0), (0, 2), (8, 4)):
                for network in NETWORKS:

                    def program(comm, odd=odd, unit=unit, other=other):
                        mine = other if comm.rank == odd else unit
                        options = {"segment_bytes": 32} if "chain" in algorithm.name or "segm" in algorithm.name else {}
                        algorithm.function(comm, *arguments(algorithm.operation, comm, mine, "f8"), **options)

                    with pytest.raises((RankFailedError, DeadlockError)) as raised:
                        simulate(p, program, network=network)
                    if type(raised.value) is RankFailedError:
                        cause = raised.value.__cause__
                        assert isinstance(cause, MPIError) and f"rank {odd}" in str(cause) or p > 2, str(cause)
                        assert algorithm.name in str(cause) or "Irecv" in str(cause), str(cause)


@pytest.mark.parametrize("algorithm", [a for a in MOVING if "allreduce" in a.name or "scan" in a.name], ids=lambda a: a.name)
def test_one_element_more_than_the_others(algorithm):
    """Blocks of most ranks still have the same size."""
    for p in range(2, 10):
        for odd in range(p):

            def program(comm, odd=odd):
                algorithm.function(comm, MPI.IN_PLACE, np.ones(3 * comm.size + (comm.rank == odd)))

            with pytest.raises((RankFailedError, DeadlockError)):
                simulate(p, program, network=NETWORKS[0])


def test_types_of_another_size():
    for algorithm in MOVING:

        def program(comm):
            dtype = "f4" if comm.rank == 1 else "f8"
            algorithm.function(comm, *arguments(algorithm.operation, comm, 4, dtype))

        with pytest.raises((RankFailedError, DeadlockError)):
            simulate(3, program)


def test_the_message_has_rank_call_and_values():
    def program(comm):
        ALGORITHMS["allreduce_reduce_broadcast"].function(comm, MPI.IN_PLACE, np.ones(3 if comm.rank == 1 else 4))

    with pytest.raises(RankFailedError, match=r"rank 0 of 2: allreduce_reduce_broadcast: the message from rank 1 has 24 bytes, "
                       r"but 32 were expected \(4 x float64\)"):
        simulate(2, program)


COUNTED = [a for a in MOVING if a.operation in ("scatter", "gather", "allgather", "reduce_scatter")]


@pytest.mark.parametrize("algorithm", COUNTED, ids=lambda a: a.name)
def test_counts_that_differ_between_ranks(algorithm):
    """An error, or the right result: a rank may not need the counts of the others."""
    right = np.arange(6.0)
    for wrong in ([3, 2, 1], [2, 2, 2], [0, 2, 4]):

        def program(comm, wrong=wrong):
            counts = [1, 2, 3] if comm.rank != 1 else wrong
            places = [0, 1, 3, 6]
            mine, block, whole = right[places[comm.rank] : places[comm.rank + 1]], np.empty(counts[comm.rank]), np.empty(6)
            if algorithm.operation == "scatter":
                algorithm.function(comm, right, block, counts=counts)
                return np.array_equal(block, mine)
            if algorithm.operation == "reduce_scatter":
                algorithm.function(comm, right, block, counts=counts)
                return np.array_equal(block, 3 * mine)
            algorithm.function(comm, mine, whole, counts=counts)
            return np.array_equal(whole, right) or (algorithm.operation == "gather" and comm.rank > 0)

        try:
            run = simulate(3, program)
        except (RankFailedError, DeadlockError):
            continue
        assert all(run.results), (wrong, run.results)


@pytest.mark.parametrize("check", [
    "check_buffers_that_are_no_contiguous_arrays_of_mpi_types", "check_none_and_in_place_where_they_do_not_belong",
    "check_sizes_and_types_that_do_not_fit_together", "check_counts_that_do_not_describe_the_buffer",
    "check_buffers_that_share_memory", "check_operations_that_do_not_fit", "check_other_options",
])
def test_nothing_is_sent_before_arguments_are_checked(check):
    sys.path.insert(0, str(RANKS))
    try:
        function = getattr(importlib.import_module("checks_mistakes"), check)
    finally:
        sys.path.remove(str(RANKS))
    for p in (1, 2, 3, 4):
        assert simulate(p, function).counts.num_messages == 0


def test_a_mistake_on_one_rank_ends_the_others():
    def program(comm):
        ALGORITHMS["allreduce_ring"].function(comm, MPI.IN_PLACE, [1.0] if comm.rank == 1 else np.ones(3))

    with pytest.raises(RankFailedError, match="allreduce_ring on rank 1 of 3: recvbuf is a list") as raised:
        simulate(3, program)
    assert isinstance(raised.value.__cause__, UsageError)
