"""The registry names every algorithm, with its idea and its cost."""

import pytest

from labkit.errors import UsageError
from labkit.mpi.collectives.registry import ALGORITHMS, OPERATIONS, family, find

FAMILIES = {
    "barrier": "central tree dissemination", "broadcast": "flat chain binomial scatter_allgather shared_memory",
    "scatter": "flat binomial", "gather": "flat binomial",
    "allgather": "ring recursive_doubling bruck neighbor_exchange shared_memory",
    "reduce": "flat binomial rabenseifner", "reduce_scatter": "pairwise recursive_halving ring",
    "allreduce": "reduce_broadcast recursive_doubling all_pairs ring chunked_ring segmented_ring rabenseifner swing hierarchical shared_memory",
    "alltoall": "linear pairwise bruck", "scan": "linear recursive_doubling", "exscan": "linear recursive_doubling",
}


def test_all_families_are_complete():
    assert tuple(FAMILIES) == OPERATIONS
    for operation, names in FAMILIES.items():
        assert {a.name for a in family(operation)} == {f"{operation}_{name}" for name in names.split()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_has_its_idea_and_its_formula(name):
    algorithm = find(name)
    assert algorithm.name == name == algorithm.function.__name__
    assert algorithm.summary.endswith(".") and "\n" not in algorithm.summary
    if algorithm.needs_shared_memory:
        with pytest.raises(UsageError, match="sends no messages"):
            algorithm.cost(4, 100)
    else:
        assert "round" in algorithm.formula, algorithm.formula
        assert algorithm.cost(8, 64).num_messages > 0


@pytest.mark.parametrize("call", [lambda: find("allreduce_magic"), lambda: family("sum")])
def test_unknown_names_list_the_known_ones(call):
    with pytest.raises(UsageError, match="there is no .*; the .* are "):
        call()
