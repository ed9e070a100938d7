"""What needs no ranks: fits, block arithmetic, the serial reference, overlap on a machine made up here."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.mpi.point_to_point.decomposition import Block, assemble, block_range, process_grid
from labkit.mpi.point_to_point.heat import boundary_values, hot_square, serial_jacobi
from labkit.mpi.point_to_point.overlap import Overlap, measure_overlap
from labkit.mpi.point_to_point.ping_pong import PingPongResult, fit_ping_pong, loop_counts


def points(alpha, beta, sizes, factors=1.0):
    times = (alpha + beta * np.array(sizes, float)) * factors
    return [PingPongResult(size, s, size / s) for size, s in zip(sizes, times.tolist(), strict=True)]


def test_fit_finds_a_line_over_seven_decades():
    fit = fit_ping_pong(points(2e-6, 3e-10, [0, 1, 100, 10**4, 10**7]))
    assert fit.alpha_s == pytest.approx(2e-6, rel=1e-9) and fit.beta_s_per_byte == pytest.approx(3e-10, rel=1e-9)
    assert fit.half_bandwidth_bytes == pytest.approx(2e-6 / 3e-10)
    assert fit.predict_s(1000) == pytest.approx(2.3e-6)
    assert max(map(abs, fit.relative_residuals)) < 1e-9 and fit.sizes_bytes == (0, 1, 100, 10**4, 10**7)


def test_fit_weighs_small_messages_like_large_ones():
    # The largest message is 10 % off; by absolute least squares alpha would be off a hundred times and more.
    fit = fit_ping_pong(points(1e-6, 1e-9, [1, 2, 4, 8, 10**6, 10**8], np.array([1, 1, 1, 1, 1, 1.1])))
    assert fit.alpha_s == pytest.approx(1e-6, rel=1e-2)
    measured = [(1e-6 + 1e-9), 1.1 * (1e-6 + 0.1)]
    ends = fit.relative_residuals[0], fit.relative_residuals[-1]
    for residual, time, size in zip(ends, measured, (1, 10**8), strict=True):
        assert residual == pytest.approx((time - fit.alpha_s - fit.beta_s_per_byte * size) / time, abs=1e-12)


def test_fit_refuses_what_has_no_line():
    for bad in ([], points(1e-6, 0, [5]), points(1e-6, 0, [5, 5]), [PingPongResult(1, 0.0, 0), PingPongResult(2, 1.0, 2)]):
        with pytest.raises(UsageError, match="two sizes"):
            fit_ping_pong(bad)
    falling = [PingPongResult(1, 2e-6, 5e5), PingPongResult(1000, 1e-6, 1e9)]
    assert fit_ping_pong(falling).half_bandwidth_bytes == math.inf


def test_loop_counts_never_reach_zero():
    assert loop_counts(8192) == (10_000, 100) and loop_counts(8193) == (1000, 10)
    assert loop_counts(1 << 30, effort=1e-9) == (1, 1)


@given(st.integers(0, 500), st.integers(1, 60))
def test_block_ranges_cover_without_overlap_and_differ_by_one(num_items, num_parts):
    ranges = [block_range(num_items, num_parts, part) for part in range(num_parts)]
    assert [i for start, stop in ranges for i in range(start, stop)] == list(range(num_items))
    lengths = [stop - start for start, stop in ranges]
    assert max(lengths) - min(lengths) <= 1 and lengths == sorted(lengths, reverse=True)


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30))
def test_process_grid_uses_the_most_ranks_with_the_shortest_edges(num_ranks, height, width):
    rows, columns = process_grid(num_ranks, (height, width))
    assert rows <= height and columns <= width and rows * columns <= num_ranks

    def edge(r, c):
        return math.ceil(Fraction(height, r)) + math.ceil(Fraction(width, c))

    others = [(r, c) for r in range(1, height + 1) for c in range(1, width + 1) if r * c <= num_ranks]
    most = max(r * c for r, c in others)
    assert rows * columns == most
    assert edge(rows, columns) == min(edge(r, c) for r, c in others if r * c == most)


def test_block_arithmetic_refuses_what_is_none():
    for arguments in ((-1, 2, 0), (5, 2, 2), (5, 2, -1), (5, 0, 0)):
        with pytest.raises(UsageError, match="block_range"):
            block_range(*arguments)
    for arguments in ((0, (3, 3)), (2, (0, 3)), (2, (3, -1))):
        with pytest.raises(UsageError, match="process_grid"):
            process_grid(*arguments)
    assert np.isnan(assemble([Block((0, 1), (0, 1), np.ones((1, 1)))], (1, 2))).tolist() == [[False, True]]


@pytest.mark.parametrize("boundary", ["periodic", 2.0, (1.0, 10.0, 100.0, 1000.0)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 1), (4, 5)])
def test_serial_jacobi_is_the_formula(shape, boundary):
    height, width = shape
    start = np.random.default_rng(1).standard_normal(shape)
    edges = boundary_values(boundary)

    def at(grid, i, j):
        if edges is None:
            return grid[i % height][j % width]
        top, bottom, left, right = edges
        if 0 <= i < height and 0 <= j < width:
            return grid[i][j]
        return top if i < 0 else bottom if i == height else left if j < 0 else right

    grid = [[Fraction(x) for x in row] for row in start.tolist()]  # exact
    if edges is not None:
        edges = tuple(Fraction(x) for x in edges)
    for _ in range(3):
        grid = [[(at(grid, i - 1, j) + at(grid, i + 1, j) + at(grid, i, j - 1) + at(grid, i, j + 1)) / 4
                 for j in range(width)] for i in range(height)]
    found = serial_jacobi(shape, 3, boundary=boundary, initial=lambda rows, columns, shape: start[rows, columns])
    np.testing.assert_allclose(found, np.array(grid, float), rtol=1e-14, atol=1e-13)


@pytest.mark.parametrize("of_point", [lambda i, j: j, lambda i, j: i, lambda i, j: 3])
def test_serial_jacobi_starts_from_all_that_broadcasts(of_point):
    found = serial_jacobi((4, 3), 0, initial=lambda i, j, shape: of_point(i, j))
    assert found.dtype == float and found.tolist() == [[of_point(i, j) for j in range(3)] for i in range(4)]


@pytest.mark.parametrize(("wrong", "word"), [(np.zeros((3, 4)), "(3, 4)"), ("hot", "'hot'"), (None, "None"), (1j, "1j")])
def test_serial_jacobi_refuses_a_start_that_does_not_fill_the_grid(wrong, word):
    with pytest.raises(UsageError, match=re.escape("(4, 3)") + ".*" + re.escape(word)):
        serial_jacobi((4, 3), 1, initial=lambda i, j, shape: wrong)


def test_serial_jacobi_leaves_the_array_of_the_start_alone():
    start = np.arange(12.0).reshape(4, 3)
    serial_jacobi((4, 3), 0, initial=lambda i, j, shape: start)[:] = -1
    assert start.tolist() == np.arange(12.0).reshape(4, 3).tolist()


def test_heat_settles_between_two_temperatures():
    final = serial_jacobi((1, 9), 600, boundary=(0, 0, 0, 0))
    assert np.abs(final).max() < 1e-12
    assert hot_square(np.arange(8)[:, None], np.arange(6)[None, :], (8, 6)).sum() == 100 * 4 * 4
    for wrong in ("open", (1, 2), None, [1, 2, 3, 4, 5]):
        with pytest.raises(UsageError, match="temperature"):
            boundary_values(wrong)


class MadeUp:
    """A rank whose transfers take ``transfer_s``: behind the computing, or only inside MPI."""

    rank, size = 0, 2

    def __init__(self, transfer_s, background):
        self.now, self.transfer_s, self.background = 0.0, transfer_s, background

    def compute(self, seconds):
        self.now += seconds

    def Barrier(self):
        pass

    def Irecv(self, buf, source, tag):
        self.started, self.left = self.now, self.transfer_s
        comm = self

        class Request:
            @staticmethod
            def Waitall(requests):
                end = comm.started + comm.transfer_s
                comm.now = max(comm.now, end) if comm.background else comm.now + comm.left

        return Request()

    Isend = Irecv

    def Iprobe(self, source, tag):
        if not self.background:  # inside MPI a quarter of the transfer is done, at no cost for this rank
            self.left = max(0.0, self.left - self.transfer_s / 4)


@pytest.mark.parametrize(
    ("transfer_s", "background", "num_polls", "share"),
    [(2.0, True, 0, 1.0), (8.0, True, 0, 0.5), (2.0, False, 0, 0.0), (2.0, False, 1, 0.25), (2.0, False, 7, 1.0)],
)
def test_overlap_tells_how_much_was_hidden(transfer_s, background, num_polls, share):
    comm = MadeUp(transfer_s, background)
    found = measure_overlap(comm, 100, 4.0, comm.compute, num_polls=num_polls, clock=lambda: comm.now)
    assert (found.communicate_s, found.compute_s) == (transfer_s, 4.0)
    assert found.share_hidden == pytest.approx(share)


def test_share_hidden_stays_between_0_and_1():
    assert Overlap(1, 1.0, 5.0, 9.0).share_hidden == 0.0
    assert Overlap(1, 1.0, 5.0, 4.0).share_hidden == 1.0
    assert Overlap(1, 0.0, 5.0, 5.0).share_hidden == 0.0
