"""Coordinates in a mesh, and groups along its axes."""

import numpy as np

from labkit.grading.compare import difference
from labkit.grading.exercise import Case, Exercise, Slip
from labkit.grading.outcomes import Status


def expected(rank, dp, pp, tp):
    """From an array of all ranks: NumPy numbers its last axis fastest."""
    numbers = np.arange(dp * pp * tp).reshape(pp, dp, tp)
    p, d, t = (int(index) for index in np.unravel_index(rank, numbers.shape))
    return ((d, p, t), numbers[p, :, t].tolist(), numbers[:, d, t].tolist(), numbers[p, d, :].tolist())


def case(rank, dp, pp, tp):
    """One rank of one mesh."""
    return Case(
        f"rank {rank} of dp {dp} x pp {pp} x tp {tp}", ((rank, dp, pp, tp),),
        ({"return": expected(rank, dp, pp, tp)},),
    )


def cases():
    return [
        case(0, 1, 1, 1), case(5, 2, 2, 2), case(2, 2, 2, 2), case(7, 2, 3, 4), case(23, 2, 3, 4), case(13, 4, 2, 2),
        case(11, 12, 1, 1), case(3, 1, 5, 1), case(6, 1, 1, 8), case(100, 4, 4, 8), case(1000, 8, 16, 16),
    ]


def _variant(order, *, without_itself=False):
    """The answer of somebody who numbers the axes in another order, slowest first."""

    def groups(rank, dp, pp, tp):
        sizes = {"d": dp, "p": pp, "t": tp}
        numbers = np.arange(dp * pp * tp).reshape([sizes[axis] for axis in order])
        place = dict(zip(order, np.unravel_index(rank, numbers.shape), strict=True))
        found = []
        for axis in "dpt":
            index = tuple(slice(None) if name == axis else place[name] for name in order)
            row = numbers[index].tolist()
            found.append([other for other in row if other != rank] if without_itself else row)
        return (tuple(int(place[axis]) for axis in "dpt"), *found)

    return groups


def _gives(variant):
    """Whether the result is what ``variant(rank, dp, pp, tp)`` gives."""

    def applies(failure):
        return failure.status is Status.INCORRECT and not difference(
            variant(*failure.case.arguments[0]), failure.actual(0)
        )

    return applies


def _reordered(*places):
    """The right answer with its parts in another order."""
    return lambda *arguments: tuple(expected(*arguments)[place] for place in places)


exercise = Exercise(
    title="Where a rank stands",
    function="mesh_groups",
    points=3,
    cases=cases,
    hints=(
        "Write the ranks of a mesh of 2 x 2 x 2 into a table as in the example, and look which digit changes along a "
        "row.",
        "t is the rank modulo tp. What is left, rank // tp, is numbered by d and p, and d runs faster.",
        "d, p, t = rank // tp % dp, rank // (tp * dp), rank % tp\n"
        "number(d, p, t) is (p * dp + d) * tp + t\n"
        "along dp: [number(k, p, t) for k in range(dp)]; the other lists change p or t instead",
    ),
    slips=(
        Slip(
            "tp runs slowest here: the ranks of a layer are far apart, on other nodes. It runs fastest.",
            _gives(_variant("tpd")),
        ),
        Slip("tp runs slowest here, and pp fastest: it is the other way round.", _gives(_variant("tdp"))),
        Slip(
            "pp runs faster than dp here. Stages send little, so they may be far apart: pp is the slowest axis.",
            _gives(_variant("dpt")),
        ),
        Slip("pp runs fastest here: tp does.", _gives(_variant("dtp"))),
        Slip("dp runs fastest here: tp does, then dp.", _gives(_variant("ptd"))),
        Slip("The rank itself is missing in the lists: it is a member of its groups.", _gives(
            _variant("pdt", without_itself=True)
        )),
        Slip("The lists along dp and pp are exchanged.", _gives(_reordered(0, 2, 1, 3))),
        Slip("The lists come in the order tp, pp, dp: it should be dp, pp, tp.", _gives(_reordered(0, 3, 2, 1))),
        Slip(
            "The groups are right, the coordinates are not: they are (d, p, t) in this order.",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)) == 4
            and not difference(list(f.case.expected[0]["return"][1:]), list(f.actual(0)[1:])),
        ),
        Slip(
            "The coordinates are right, the groups are not. A group keeps two coordinates and goes through the third.",
            lambda f: f.status is Status.INCORRECT and len(f.actual(0)) == 4
            and not difference(f.case.expected[0]["return"][0], f.actual(0)[0]),
        ),
    ),
)
