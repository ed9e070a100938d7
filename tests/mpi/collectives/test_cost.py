"""The cost functions, compared with counted traffic, with closed forms, and with lower bounds: exact integers."""

import inspect
import math

import numpy as np
import pytest
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta
from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.mpi.collectives.registry import ALGORITHMS, OPERATIONS, family, find
from labkit.mpi.cost import COSTS, Cost

NETWORK = alpha_beta(1, 0, 0)
NEEDS_EQUAL_BLOCKS = ("scatter", "gather", "allgather", "reduce_scatter", "alltoall")
COUNTED = [name for name in ALGORITHMS if name in COSTS]
# Messages of these grow with p * p: all p with one n, and several n for some p only.
SQUARE = [name for name in COUNTED if find(name).operation in NEEDS_EQUAL_BLOCKS or "ring" in name or "scatter_all" in name]


def call(algorithm, comm, n, dtype, **options):
    """The algorithm with n elements in its whole buffer."""
    operation, p, at_root = algorithm.operation, comm.size, comm.rank == 0
    whole, block = np.zeros(n, dtype), np.zeros(n // p, dtype)
    arguments = {
        "barrier": [], "broadcast": [whole], "scatter": [whole if at_root else None, block],
        "gather": [block, whole if at_root else None], "allgather": [block, whole], "reduce_scatter": [whole, block],
    }.get(operation, [MPI.IN_PLACE if at_root or operation != "reduce" else whole, whole])
    algorithm.function(comm, *arguments, **options)


def counted(name, p, n, dtype="i8", network=NETWORK, **options):
    return simulate(p, lambda comm: call(find(name), comm, n, dtype, **options), network=network)


def check(name, p, n, dtype="i8", **options):
    counts = counted(name, p, n, dtype, **options).counts
    cost = find(name).cost(p, n, np.dtype(dtype).itemsize, **options)
    found = Cost(
        counts.num_rounds, counts.path_bytes, counts.path_reduced_bytes, counts.num_messages, counts.num_bytes,
        counts.num_reduced_bytes,
    )
    assert cost == found, f"{name}, p = {p}, n = {n}, {dtype}, {options}: computed {cost}, counted {found}"


def fitting(name, p, n):
    """n itself, or the next multiple of p where blocks must be equal."""
    return -(-n // p) * p if find(name).operation in NEEDS_EQUAL_BLOCKS else n


def test_every_algorithm_with_messages_has_a_cost():
    without = {name for name, algorithm in ALGORITHMS.items() if algorithm.needs_shared_memory}
    assert without == {"broadcast_shared_memory", "allgather_shared_memory", "allreduce_shared_memory"}
    assert set(ALGORITHMS) - set(COSTS) == without and set(COSTS) <= set(ALGORITHMS)
    with pytest.raises(UsageError, match="no messages"):
        find("allreduce_shared_memory").cost(2, 2)


@pytest.mark.parametrize("name", COUNTED)
def test_cost_is_the_counted_traffic_for_every_number_of_ranks(name):
    for p in range(1, 65):
        check(name, p, fitting(name, p, 2 * p + 3 if p < 40 else p // 2 + 1), ("i8", "u1", "c16")[p % 3])


@pytest.mark.parametrize("name", COUNTED)
def test_cost_is_the_counted_traffic_for_every_kind_of_size(name):
    for p in [*range(2, 18), 24, 31] if name not in SQUARE else [*range(2, 9), 11]:
        for n in sorted({0, 1, p - 1, p + 1, 5 * p}):
            check(name, p, fitting(name, p, n), "f4" if n % 2 else "f8")


@pytest.mark.parametrize("name", ["broadcast_chain", "allreduce_segmented_ring", "allreduce_chunked_ring"])
def test_cost_with_pieces(name):
    for p in (2, 3, 5, 8, 11):
        for n in (0, 1, p - 1, p, 7 * p + 1, 64):
            for segment_bytes in (1, 8, 17, 24, 8 * n + 1):
                check(name, p, n, **{"chunk_bytes" if "chunked" in name else "segment_bytes": segment_bytes})


def test_cost_with_nodes():
    for p in (*range(1, 14), 16, 24, 31):
        for ranks_per_node in (1, 2, 3, 4, 7, p):
            for n in (0, 1, 6, 3 * p):
                check("allreduce_hierarchical", p, n, ranks_per_node=ranks_per_node)


# The table of Thakur, Rabenseifner, Gropp 2005: (rounds, bytes, bytes reduced) for n bytes, lg = log2 p.
TABLE = {
    "broadcast_binomial": lambda p, lg, n: (lg, n * lg, 0),
    "broadcast_scatter_allgather": lambda p, lg, n: (lg + p - 1, 2 * n * (p - 1) / p, 0),
    "scatter_binomial": lambda p, lg, n: (lg, n * (p - 1) / p, 0),
    "gather_binomial": lambda p, lg, n: (lg, n * (p - 1) / p, 0),
    "allgather_ring": lambda p, lg, n: (p - 1, n * (p - 1) / p, 0),
    "allgather_recursive_doubling": lambda p, lg, n: (lg, n * (p - 1) / p, 0),
    "allgather_bruck": lambda p, lg, n: (lg, n * (p - 1) / p, 0),
    "reduce_binomial": lambda p, lg, n: (lg, n * lg, n * lg),
    "reduce_rabenseifner": lambda p, lg, n: (2 * lg, 2 * n * (p - 1) / p, n * (p - 1) / p),
    "reduce_scatter_recursive_halving": lambda p, lg, n: (lg, n * (p - 1) / p, n * (p - 1) / p),
    "reduce_scatter_pairwise": lambda p, lg, n: (p - 1, n * (p - 1) / p, n * (p - 1) / p),
    "allreduce_recursive_doubling": lambda p, lg, n: (lg, n * lg, n * lg),
    "allreduce_ring": lambda p, lg, n: (2 * (p - 1), 2 * n * (p - 1) / p, n * (p - 1) / p),
    "allreduce_rabenseifner": lambda p, lg, n: (2 * lg, 2 * n * (p - 1) / p, n * (p - 1) / p),
    "alltoall_bruck": lambda p, lg, n: (lg, n / 2 * lg, 0),
    "barrier_dissemination": lambda p, lg, n: (lg, 0, 0),
}


@pytest.mark.parametrize("name", TABLE)
def test_table_of_the_literature(name):
    for lg in range(1, 9):
        p = 2**lg
        cost = find(name).cost(p, 3 * p, 4)
        n = 0 if "barrier" in name else 3 * p * 4
        assert (cost.num_rounds, cost.path_bytes, cost.path_reduced_bytes) == TABLE[name](p, lg, n)


def test_table_where_p_is_no_power_of_two():
    for p in range(2, 65):
        lg, n = math.ceil(math.log2(p)), 8 * 3 * p
        for name in ("broadcast_binomial", "allgather_bruck", "allgather_ring", "allreduce_ring", "barrier_dissemination"):
            cost = find(name).cost(p, 3 * p)
            assert (cost.num_rounds, cost.path_bytes) == TABLE[name](p, lg, 0 if "barrier" in name else n)[:2]
        # REFERENCE's n for a pairwise all-to-all is an upper bound: the own block stays.
        assert find("alltoall_pairwise").cost(p, 3 * p).path_bytes == n * (p - 1) // p


def test_lower_bounds_hold():
    least = {"broadcast": 1, "reduce": 1, "allreduce": 2, "allgather": 1, "reduce_scatter": 1, "scatter": 1, "gather": 1}
    for name in COUNTED:
        operation = find(name).operation
        for p in range(1, 65):
            n = 5 * p
            cost = find(name).cost(p, n)
            assert cost.num_rounds >= math.ceil(math.log2(p)), (name, p)
            assert cost.path_bytes * p >= least.get(operation, 0) * 8 * n * (p - 1), (name, p)
            if operation in ("reduce", "reduce_scatter", "allreduce"):
                assert cost.path_reduced_bytes * p >= 8 * n * (p - 1) and cost.total_reduced_bytes >= 8 * n * (p - 1), (name, p)


ALPHA, BETA, GAMMA = 1.0, 2.0**-6, 2.0**-9


def times(name, p, n, **options):
    time_s = counted(name, p, n, network=alpha_beta(ALPHA, BETA, GAMMA), **options).time_s
    return time_s, find(name).cost(p, n, **options).time_s(ALPHA, BETA, GAMMA)


@pytest.mark.parametrize("name", [name for name in COUNTED if name != "reduce_flat"])
def test_time_is_that_of_the_cost(name):
    for p in (2, 4, 8, 16):
        simulated, computed = times(name, p, 16 * p)
        assert simulated == pytest.approx(computed, rel=1e-12), (name, p)


def test_time_where_combining_and_sending_overlap():
    for p in (2, 4, 8, 16):
        simulated, computed = times("reduce_flat", p, 16 * p)
        assert simulated == pytest.approx(computed - (p - 2) * GAMMA * 128 * p)
        simulated, computed = times("allreduce_segmented_ring", p, 16 * p, segment_bytes=32)
        assert simulated < computed


def test_registry():
    for operation in OPERATIONS:
        members = family(operation)
        assert members and all(m.operation == operation and m.summary.endswith(".") for m in members)
        first = [list(inspect.signature(m.function).parameters) for m in members]
        common = first[0] if operation != "broadcast" else ["comm", "buffer", "root"]
        assert all(parameters[: len(common)] == common for parameters in first), first
    expected = {
        "barrier": 3, "broadcast": 5, "scatter": 2, "gather": 2, "allgather": 5, "reduce": 3, "reduce_scatter": 3,
        "allreduce": 10, "alltoall": 3, "scan": 2, "exscan": 2,
    }
    assert {operation: len(family(operation)) for operation in OPERATIONS} == expected
    for wrong in ("allreduce_circle", "", None):
        with pytest.raises(UsageError, match="allreduce_ring"):
            find(wrong)
    with pytest.raises(UsageError, match="exscan"):
        family("all_reduce")


def test_costs_refuse_what_is_no_size():
    for arguments in ((0, 1), (-1, 1), (2, -1), (2, 1, 0), (2.0, 1), (2, 1.5), (True, 1), ("2", 1)):
        with pytest.raises(UsageError, match="allreduce_ring"):
            find("allreduce_ring").cost(*arguments)
    with pytest.raises(UsageError, match="equal blocks"):
        find("scatter_flat").cost(3, 4)
    for name, option in (("broadcast_chain", "segment_bytes"), ("allreduce_segmented_ring", "segment_bytes"),
                         ("allreduce_chunked_ring", "chunk_bytes"),
                         ("allreduce_hierarchical", "ranks_per_node")):
        for wrong in (0, -1, 1.5):
            with pytest.raises(UsageError, match=option):
                find(name).cost(4, 4, **{option: wrong})
