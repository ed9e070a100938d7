"""Watched arrays: the values of NumPy, and every access is told."""

import numpy as np
import pytest

from labkit.errors import KernelError, UsageError
from labkit.openmp.simulated_team.arrays import WatchedArray, addresses_of, watched
from labkit.openmp.simulated_team.constructs import thread_num
from labkit.openmp.simulated_team.team import SimulatedTeam

EXPRESSIONS = {  # text -> elements read of x, shape (6, 4)
    "x[2, 1]": 1, "x[-1, -1]": 1, "x[2].sum()": 4, "x[1:3, ::2].sum()": 4, "x + 1": 24, "x[:, 0] * x[:, 1]": 12,
    "x.T[1, 2]": 1,
    "np.sum(x, axis=0)": 24, "x[x > 3]": None, "x[[0, 2], [1, 3]]": 2, "x.reshape(24)[5]": 1, "x.ravel()[3:9].max()": 6,
    "np.cumsum(x[:, 2])": 6, "len(x)": 0, "x.shape": 0, "float(x[1, 1])": 1, "np.zeros_like(x).shape": 0, "x @ x.T": 48,
    "[float(v) for v in x[0]]": 4, "np.minimum(x, 3.0)": 24, "x.copy()": 24, "-x[0]": 4, "np.dot(x[0], x[1])": 8,
}


def data():
    return np.random.default_rng(1).integers(-9, 10, (6, 4)).astype(float)


def one_thread(body, *arguments):
    return SimulatedTeam(1).parallel(body, *arguments)


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_reading_gives_the_values_of_numpy(text):
    x, found = data(), []
    report = one_thread(lambda team, x: found.append(eval(text, {"x": x, "np": np})), x)
    value = np.asarray(found[0])
    np.testing.assert_array_equal(value, np.asarray(eval(text, {"x": data(), "np": np})))
    np.testing.assert_array_equal(x, data())
    if EXPRESSIONS[text] is not None:
        assert report.num_accesses == (EXPRESSIONS[text],)


@pytest.mark.parametrize("text", [
    "x[2, 1] = 5", "x[2] = 7", "x[1:3] += 2", "x[:, 1] *= x[:, 2]", "x[...] = np.arange(4)", "x += 1", "x[x > 0] = 0",
    "x[0], x[1] = x[1].copy(), x[0].copy()", "x.fill(3)", "x[3].sort()", "np.add(x, 1, out=x)",
    "np.add.at(x, [0, 0], 1)",
    "x[1, 1] -= x[0, 0]", "x[2:4, 1:3] = x[0:2, 0:2]", "np.cumsum(x[:, 0], out=x[:, 1])",
])
def test_writing_changes_the_array_as_numpy_does(text):
    x, wanted = data(), data()
    report = one_thread(lambda team, x: exec(text, {"x": x, "np": np}), x)
    exec(text, {"x": wanted, "np": np})
    np.testing.assert_array_equal(x, wanted)
    assert not np.array_equal(wanted, data()) and report.num_accesses[0] > 0


def test_writes_are_told_at_the_elements_that_change():
    def two_columns(team, x):
        x[:, thread_num()] = 1.0

    def two_slices(team, x):
        x[1:4, 2 * thread_num() : 2 * thread_num() + 3] = 2.0  # columns 0, 1, 2 and 2, 3

    assert SimulatedTeam(2).parallel(two_columns, np.zeros((5, 4))).is_clean
    report = SimulatedTeam(2).parallel(two_slices, np.zeros((5, 4)))
    assert report.races[0].num_elements == 3 and report.races[0].element == "x[1, 2]"


def test_an_index_from_the_end_is_the_same_element():
    def both_ends(team, x):
        x[-1 if thread_num() else 3] = 1.0

    report = SimulatedTeam(2).parallel(both_ends, np.zeros(4))
    assert [race.element for race in report.races] == ["x[3]"]


def test_an_update_of_a_slice_reads_and_writes_it_once():
    def update(team, x):
        x[1:3] += 2

    assert one_thread(update, np.zeros(5)).num_accesses == (4,)


def test_an_update_of_a_slice_is_not_one_step():
    def all_add(team, x):
        x[:] += 1

    values = set()
    for seed in range(20):
        x = np.zeros(2)
        assert SimulatedTeam(2, seed=seed).parallel(all_add, x).races
        values.add(x[0])
    assert values == {1.0, 2.0}


def test_addresses_follow_the_strides():
    x = np.zeros((4, 6), np.float32)[::2, ::-1].T
    found = addresses_of(x)
    base = x.__array_interface__["data"][0]
    assert found.shape == x.shape and found[0, 0] == base
    assert (found[1, 0] - base, found[0, 1] - base) == x.strides == (-4, 48)
    array = watched(x, "x")
    places = [array._of.place(int(address)) for address in found.ravel()]
    assert places == [(i, j) for i in range(6) for j in range(2)]


def test_outside_of_an_array_is_an_error_that_names_it():
    with pytest.raises(KernelError, match=r"x\[4\] is outside: the array has 4 elements"):
        one_thread(lambda team, x: x[4], np.zeros(4))
    with pytest.raises(KernelError, match=r"x\[0, 2\] is outside: the array has \(2, 2\) elements"):
        one_thread(lambda team, x: x[0, 2], np.zeros((2, 2)))


def test_local_arrays_of_kernels_are_watched_and_empty_ones_hold_no_values():
    def makes(team, out):
        fresh = np.empty(3)
        whole = np.empty(2, np.int64)
        out[0] = float(np.isnan(fresh).all()) + float((whole < -(2**62)).all())
        out[1] = float(isinstance(np.zeros(2), WatchedArray))

    out = np.zeros(2)
    one_thread(makes, out)
    assert out.tolist() == [2, 1]


def test_arrays_of_objects_are_refused():
    with pytest.raises(UsageError, match="x is an array of Python objects"):
        one_thread(lambda team, x: None, np.array([None]))


def test_cache_lines_that_several_threads_write():
    def adjacent(team, x, step):
        for _ in range(3):
            x[step * thread_num()] += 1

    for dtype, step in ((np.int64, 1), (np.int64, 4), (np.int64, 7), (np.int64, 8), (np.float32, 8), (np.float32, 16),
                        (np.int8, 32), (np.int8, 64)):
        report = SimulatedTeam(4).parallel(adjacent, np.zeros(64 * 4, dtype), step)
        lines = [step * t * np.dtype(dtype).itemsize // 64 for t in range(4)]
        assert report.num_shared_line_writes == 3 * sum(lines.count(line) > 1 for line in lines), (dtype, step)
    line = SimulatedTeam(4).parallel(adjacent, np.zeros(16, np.int64), 1).shared_lines[0]
    assert (line.array, line.first, line.last, line.total) == ("x", 0, 7, 12)
    assert line.num_writes == ((0, 3), (1, 3), (2, 3), (3, 3))
