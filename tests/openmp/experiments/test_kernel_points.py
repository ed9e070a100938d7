"""Kernels as points of a roofline: which versions are measured, and what is made of their counts."""

from types import SimpleNamespace

import pytest

from labkit.errors import UsageError
from labkit.openmp.experiments.kernel_points import KernelPoint, kernel_points


def small_ladder(calls):
    """A kernel that doubles a number: three versions, one of which may race, one of which is wrong."""
    def version(name, is_correct, factor):
        def function(team, x, *, schedule="static"):
            calls.append((name, team.num_threads))
            return factor * x

        return SimpleNamespace(name=name, function=function, is_correct=is_correct, remark="")

    return SimpleNamespace(
        name="doubling", versions=(version("serial", True, 2), version("racy", False, 2), version("fast", True, 3)),
        oracle=lambda x: 2 * x, is_right=lambda result, expected: result == expected,
        make_input=lambda size, seed=0: (size + seed,), bytes=lambda x: 16 * x, flops=lambda x: x,
    )


def test_the_fastest_version_is_measured_or_all_that_are_correct():
    calls = []
    (point,) = kernel_points([small_ladder(calls)], num_threads=2, sizes={"doubling": 100}, num_rounds=3, seed=5)
    assert (point.kernel, point.version, point.num_threads) == ("doubling", "fast", 2)
    assert point.flops == 105 and point.num_bytes == 16 * 105 and point.intensity == 1 / 16
    assert len(point.times_s) == 3 and not point.is_right
    assert set(calls) == {("fast", 2)}
    points = kernel_points([small_ladder(calls)], num_threads=1, is_every_version=True, num_rounds=1)
    assert [(p.version, p.is_right) for p in points] == [("serial", True), ("fast", False)]
    assert points[0].flops == 100_000


def test_numbers_of_a_point():
    point = KernelPoint("n_body", "fast", 2, 300.0, 100.0, (3.0, 1.0, 2.0), True)
    assert point.label == "n body (fast)" and point.intensity == 3 and point.flops_per_s == 150
    assert KernelPoint("a", "b", 1, 1.0, 0.0, (1.0,), True).intensity == float("inf")


@pytest.mark.parametrize(
    "options", [{"num_threads": 0}, {"num_rounds": 0}, {"seed": -1}, {"sizes": {"doubling": 0}}]
)
def test_bad_input(options):
    word = next(iter(options)).replace("sizes", "size")
    with pytest.raises(UsageError, match=word):
        kernel_points([small_ladder([])], **options)


def test_real_ladders():
    sizes = {"triad": 10_000, "matrix_product": 40}
    points = kernel_points(("triad", "matrix_product"), num_threads=2, sizes=sizes, num_rounds=2)
    assert [(point.kernel, point.flops, point.num_bytes) for point in points] == [
        ("triad", 20_000, 240_000), ("matrix_product", 2 * 40**3, points[1].num_bytes),
    ]
    assert all(point.is_right and min(point.times_s) > 0 for point in points)
