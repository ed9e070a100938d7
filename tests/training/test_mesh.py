"""Meshes against NumPy's own numbering of arrays, and their communicators on simulated ranks."""

import itertools

import numpy as np
import pytest

from labkit.comm.simulated.run import simulate
from labkit.errors import UsageError
from labkit.training.mesh import AXES, ORDER, Mesh, all_meshes

SHAPES = [(1, 1, 1), (2, 2, 1), (2, 2, 2), (3, 2, 4), (1, 5, 2), (4, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", list(itertools.permutations(AXES)))
def test_ranks_are_numbered_as_an_array_is(shape, order):
    mesh = Mesh(*shape, order=order)
    numbers = np.arange(mesh.size).reshape([getattr(mesh, axis) for axis in order])
    for place in np.ndindex(numbers.shape):
        rank = int(numbers[place])
        where = dict(zip(order, place, strict=True))
        assert mesh.rank(**where) == rank
        assert mesh.coordinates(rank) == where
    for axis in AXES:
        rows = np.moveaxis(numbers, order.index(axis), -1).reshape(-1, getattr(mesh, axis))
        assert mesh.groups(axis) == tuple(sorted((tuple(map(int, row)) for row in rows), key=min))


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_along_two_axes(shape):
    mesh = Mesh(*shape)
    numbers = np.arange(mesh.size).reshape([getattr(mesh, axis) for axis in ORDER])
    for first, second in itertools.permutations(AXES, 2):
        rows = np.moveaxis(numbers, [ORDER.index(first), ORDER.index(second)], [-2, -1])
        expected = {tuple(map(int, row)) for row in rows.reshape(-1, mesh.shape[first] * mesh.shape[second])}
        assert set(mesh.groups(first, second)) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_communicators(shape):
    mesh = Mesh(*shape)

    def program(comm):
        found = {}
        for axis, sub in mesh.communicators(comm).items():
            found[axis] = (sub.rank, tuple(sub.allgather(comm.rank)))
        return found

    for rank, found in enumerate(simulate(mesh.size, program).results):
        for axis in AXES:
            assert found[axis] == (mesh.coordinates(rank)[axis], mesh.group(rank, axis))


def test_tensor_parallel_groups_stay_inside_a_node_whenever_they_fit():
    for mesh in all_meshes(64, limits={"tp": 8}):
        assert mesh.num_nodes_of("tp", 8) == 1
    assert Mesh(tp=16).num_nodes_of("tp", 8) == 2
    assert Mesh(dp=8, pp=2, tp=8).num_nodes_of("pp", 8) == 2


def test_all_meshes_are_all_of_them():
    for num_ranks in (1, 2, 6, 12, 64, 97, 360):
        expected = {
            (dp, pp, num_ranks // dp // pp)
            for dp in range(1, num_ranks + 1) if num_ranks % dp == 0
            for pp in range(1, num_ranks // dp + 1) if num_ranks // dp % pp == 0
        }
        meshes = all_meshes(num_ranks)
        assert {(mesh.dp, mesh.pp, mesh.tp) for mesh in meshes} == expected and len(meshes) == len(expected)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Mesh(dp=0), "dp=0"),
        (lambda: Mesh(tp=2.0), "tp=2.0"),
        (lambda: Mesh(pp=True), "pp=True"),
        (lambda: Mesh(order=("dp", "pp", "pp")), "each of dp, pp, tp once"),
        (lambda: Mesh(2, 2, 2).check(4), r"dp\(2\) \* pp\(2\) \* tp\(2\) = 8, but world_size is 4"),
        (lambda: Mesh(2, 2, 2).coordinates(8), "ranks are 0 to 7"),
        (lambda: Mesh(2, 2, 2).rank(tp=2), "tp=2 is outside 0 to 1"),
        (lambda: Mesh(2, 2, 2).rank(cp=0), "no axis 'cp'"),
        (lambda: Mesh(2).groups("ep"), "no axis 'ep'"),
        (lambda: all_meshes(0), "num_ranks=0"),
        (lambda: Mesh(2).num_nodes_of("dp", 0), "ranks_per_node=0"),
    ],
)
def test_errors(wrong, words):
    with pytest.raises(UsageError, match=words):
        wrong()
