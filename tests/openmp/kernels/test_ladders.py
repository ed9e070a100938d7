"""All ladders alike: each version against its oracle, on several teams, under several schedules."""

import subprocess
import sys

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.kernels.ladder import MODULES, SCHEDULES, Ladder, Version, check, ladder, ladder_names
from labkit.openmp.team import Team

SIZES = {  # those at which a kernel changes its ways: a row, a vector, a block, a tile, and one more
    "matrix_product": (0, 1, 2, 31, 33, 65, 261),
    "jacobi": (0, 1, 2, 3, 4, 31, 130),
    "mandelbrot": (0, 1, 2, 31, 33, 70),
    "histogram": (0, 1, 2, 7, 2047, 2049, 30_001),
    "prefix_sum": (0, 1, 2, 3, 5, 1000, 8191, 8193, 50_001),
    "merge_sort": (0, 1, 2, 3, 25, 1000, 60_001),
    "quicksort": (0, 1, 2, 3, 25, 1000, 60_001),
    "n_body": (0, 1, 2, 7, 65),
    "sparse_matrix_vector": (0, 1, 2, 7, 500, 3001),
    "pi": (1, 2, 7, 1001),
    "fibonacci": (0, 1, 2, 3, 12),
    "cholesky": (0, 1, 2, 9, 33, 130),
}
DEFAULT_SIZES = (0, 1, 2, 7, 64, 1001)
SLOW_SIZES = {("merge_sort", "naive"): (0, 1, 2, 33, 700), ("quicksort", "naive"): (0, 1, 2, 33, 700)}
RIGHT = [(name, v.name) for name in ladder_names() for v in ladder(name).versions if v.is_correct]
WRONG = {"dot": {"race"}, "jacobi": {"in_place"}, "histogram": {"race"}, "prefix_sum": {"naive"}, "n_body": {"race"},
         "sparse_matrix_vector": {"race"}, "pi": {"race"}, "cholesky": {"unordered"}}  # fmt: skip


@pytest.mark.parametrize(("name", "version"), RIGHT)
def test_right_versions_equal_their_oracle(name, version):
    sizes = SLOW_SIZES.get((name, version), SIZES.get(name, DEFAULT_SIZES))
    schedules = SCHEDULES if name not in ("merge_sort", "quicksort", "fibonacci", "cholesky") else (None,)
    assert check(ladder(name), version, sizes=sizes, schedules=schedules) == ()


@pytest.mark.parametrize("name", ladder_names())
def test_a_ladder_goes_from_serial_to_fast_and_says_what_is_wrong(name):
    its = ladder(name)
    assert its.name == name and its.versions[0].name == "serial" and its.versions[-1].is_correct
    assert len({v.name for v in its.versions}) == len(its.versions) >= 3
    assert {v.name for v in its.versions if not v.is_correct} == WRONG.get(name, set())
    for v in its.versions:
        assert v.function.__name__.startswith(name) and v.remark.endswith(".")
        assert v.remark.startswith("Wrong") == (not v.is_correct)


@pytest.mark.parametrize("name", ladder_names())
def test_bytes_and_operations_of_an_input(name):
    its = ladder(name)
    small, large = its.make_input(10), its.make_input(20)
    assert 0 <= its.bytes(*small) <= its.bytes(*large) and 0 <= its.flops(*small) <= its.flops(*large)
    assert its.bytes(*large) + its.flops(*large) > 0


@pytest.mark.parametrize("name", sorted(set(ladder_names()) - {"fibonacci", "mandelbrot"}))
def test_inputs_depend_on_the_seed_alone(name):
    def numbers(inputs):
        return [vars(value) if hasattr(value, "row_starts") else value for value in inputs]

    its = ladder(name)
    first, again, other = (str(numbers(its.make_input(20, seed))) for seed in (1, 1, 2))
    assert first == again != other


def test_the_check_sees_a_wrong_version():
    def off_by_one(team, x, y, *, schedule="static"):
        return float(x[: len(x) - (team.num_threads == 3)] @ y[: len(y) - (team.num_threads == 3)])

    dot = ladder("dot")
    found = check(dot, off_by_one, sizes=[0, 100], num_threads=[1, 3], schedules=[None, "dynamic"])
    assert [(m.size, m.num_threads, m.schedule) for m in found] == [(100, 3, None), (100, 3, "dynamic")]
    x, y = dot.make_input(100)
    assert found[0].error == pytest.approx(x[-1] * y[-1] / (x @ y))
    assert check(dot, Version("mine", lambda team, x, y, schedule=None: np.nan, True, "."), sizes=[5], num_threads=[1])


def test_errors_are_relative_to_the_largest_value():
    its = Ladder("any", (), None, None, None, None, tolerance=1e-3)
    assert its.error([1.0, 100.0], [1.05, 100.0]) == pytest.approx(5e-4)
    assert its.is_right([1.0, 100.0], [1.05, 100.0]) and not its.is_right([1.0, 100.0], [1.2, 100.0])
    assert its.error([1, 2], [1, 2, 3]) == its.error([np.nan], [1.0]) == its.error([1.0], [0.0]) == np.inf
    assert its.error([], []) == its.error([0.0], [0.0]) == 0


def test_names_that_are_not_there():
    with pytest.raises(UsageError, match="one of copy, .*not 'tetris'"):
        ladder("tetris")
    with pytest.raises(UsageError, match="dot has no version 'quick': choose one of serial, race"):
        check(ladder("dot"), "quick")
    with pytest.raises(UsageError, match="schedule"):
        ladder("triad").version("fast").function(Team(2), *ladder("triad").make_input(3), schedule="dynamik")


IMPORT = """
from numba.core import event
from numba.core.dispatcher import Dispatcher
import importlib
with event.install_recorder("numba:compile") as compiled:
    modules = [importlib.import_module("labkit.openmp.kernels." + name) for name in {modules}]
assert not compiled.buffer, compiled.buffer
functions = [v for m in modules for v in vars(m).values()
             if isinstance(v, Dispatcher) and v.__module__.startswith("labkit.openmp.kernels")]
assert len(functions) > 30 and not any(f.overloads for f in functions)
"""
LIGHT = """
import sys
import labkit.openmp.hybrid
from labkit.openmp.kernels.ladder import ladder_names
assert len(ladder_names()) == 17 and not {"numba", "torch", "plotly", "mpi4py"} & set(sys.modules)
"""
RUN = """
from numba.core import event
from labkit.openmp.kernels.ladder import ladder, ladder_names
from labkit.openmp.team import Team
with event.install_recorder("numba:compile") as compiled:
    for name in ladder_names():
        for version in ladder(name).versions:
            if version.name != "unordered":  # has no result to speak of
                version.function(Team(2), *ladder(name).make_input(40))
print(len(compiled.buffer))
"""


def run_python(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list_of_ladders_loads_no_compiler():
    run_python(LIGHT)


def test_importing_the_kernels_compiles_nothing():
    run_python(IMPORT.format(modules=sorted(set(MODULES.values()))))


@pytest.mark.timeout(300)
def test_a_second_process_compiles_nothing():
    run_python(RUN)  # keeps on disk what was not yet there
    assert int(run_python(RUN)) == 0
