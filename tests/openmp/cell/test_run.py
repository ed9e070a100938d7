"""Cells that end well: values against NumPy, output, environment, the cache."""

import os

import numpy as np
import pytest

from labkit.errors import ProgramError, UsageError
from labkit.openmp.cell import shared_array
from labkit.openmp.cell.entry import default_threads
from labkit.openmp.cell.result import CellResult, ThreadsRun, fits_of

pytestmark = pytest.mark.timeout(110)

AXPY = """
void run(int n, double a, const double *x, double *y) {
    #pragma omp parallel for
    for (int i = 0; i < n; i++) y[i] += a * x[i];
}
"""


@pytest.mark.parametrize("kind", ["plain", "shared"])
def test_arrays_come_and_go(run_cell, gcc, kind):
    x, y = np.random.default_rng(1).random((2, 1001))
    if kind == "shared":
        shared = shared_array(1001), shared_array(1001)
        shared[0][:], shared[1][:] = x, y
        x, y = shared
    expected = y + 2.5 * x
    before = x.copy()
    result = run_cell(AXPY, {"x": x, "y": y, "n": 1001}, args=("n", "2.5", "x", "y"), threads=(1, 2, 3), repeat=4)
    np.testing.assert_allclose(y, expected, rtol=1e-15)  # of exactly one call, though there were twelve
    assert np.array_equal(x, before)
    assert [run.num_threads for run in result.runs] == [1, 2, 3]
    assert all(len(run.times_s) == 4 and min(run.times_s) > 0 for run in result.runs)


@pytest.mark.parametrize(
    ("c_type", "dtype"),
    [("char", "int8"), ("unsigned char", "uint8"), ("short", "int16"), ("unsigned", "uint32"), ("long", "int64"),
     ("size_t", "uint64"), ("int64_t", "int64"), ("float", "float32"), ("double", "float64"),
     ("long double", "longdouble"), ("double complex", "complex128"), ("real", "float32"), ("bool", "bool")],
)  # fmt: skip
def test_elements_of_every_type(run_cell, gcc, c_type, dtype):
    text = f"""#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <complex.h>
typedef float real;
void run(const {c_type} *x, {c_type} *y, int n) {{
    for (int i = 0; i < n; i++) y[n - 1 - i] = x[i];
}}
"""
    x = (np.arange(20) * 7 - 3).astype(np.dtype(dtype))
    if x.dtype.kind == "c":
        x += 1j * np.arange(20)
    y = np.zeros_like(x)
    run_cell(text, {"x": x, "y": y}, args=("x", "y", "20"), threads=(1,), repeat=1)
    assert np.array_equal(y, x[::-1]) and y.any()


def test_numbers_and_what_is_returned(run_cell, gcc):
    text = "#include <stdint.h>\n#include <math.h>\n" \
           "{} run(int a, unsigned long b, double c, float d, int8_t e) {{ return {}; }}"  # fmt: skip
    args = ("-7", "b", "0.1", "d", "-128")
    space = {"b": 2**64 - 1, "d": np.float32(0.3)}

    def value(returns, expression):
        (run,) = run_cell(text.format(returns, expression), space, args=args, threads=(1,), repeat=1).runs
        return run.value

    assert value("long long", "a") == -7
    assert value("unsigned long", "b") == 2**64 - 1
    assert value("double", "c") == 0.1
    assert value("float", "d") == float(np.float32(0.3))
    assert value("int", "e") == -128
    assert value("double", "NAN") != value("double", "NAN")
    assert value("void", "") is None
    assert value("_Bool", "e < 0") == 1


def test_two_dimensions_as_c_writes_them(run_cell, gcc):
    text = """
void multiply(int n, int m, int k, const double a[n][k], const double b[k][m], double c[n][m]) {
    #pragma omp parallel for collapse(2)
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) {
            c[i][j] = 0;
            for (int l = 0; l < k; l++) c[i][j] += a[i][l] * b[l][j];
        }
}
"""
    rng = np.random.default_rng(2)
    a, b, c = rng.random((5, 3)), rng.random((3, 7)), np.zeros((5, 7))
    run_cell(text, {"a": a, "b": b, "c": c}, args=("5", "7", "3", "a", "b", "c"), call="multiply", threads=(2,))
    np.testing.assert_allclose(c, a @ b, rtol=1e-13)


def test_parts_of_shared_arrays_that_overlap_stay_one_memory(run_cell, gcc):
    x = shared_array(10, np.int32)
    x[:] = np.arange(10)
    text = "void run(int *a, int *b) { a[4] = 100; b[0] += 1; }"
    run_cell(text, {"a": x[1:], "b": x[5:]}, args=("a", "b"), threads=(1, 2), repeat=3)
    assert x.tolist() == [0, 1, 2, 3, 4, 101, 6, 7, 8, 9]


def test_const_arrays_cannot_be_written_and_empty_ones_pass(run_cell, gcc):
    run_cell("void run(double *x, int n) { while (n) x[--n] = 1; }", {"x": np.zeros(0)}, args=("x", "0"))
    shared = shared_array(4)
    with pytest.raises(ProgramError, match="SIGSEGV"):
        run_cell("void run(const double *x) { *(volatile double *)x = 1; }", {"x": shared}, args=("x",), threads=(1,))
    assert not shared.any()


def test_cxx(run_cell, gxx):
    text = """#include <vector>
#include <numeric>
#include <iostream>
namespace { template <typename T> T twice(T x) { return 2 * x; } }
double run(const double *x, double y[][3], size_t n) {
    std::vector<double> copy(x, x + n);
    #pragma omp parallel for
    for (long i = 0; i < (long)n; i++) y[i][1] = twice(copy[i]);
    return std::accumulate(copy.begin(), copy.end(), 0.0);
}
"""
    x, y = np.arange(50.0), np.zeros((50, 3))
    result = run_cell(text, {"x": x, "y": y}, args=("x", "y", "50"), threads=(2,))
    assert result.runs[0].value == x.sum() and np.array_equal(y[:, 1], 2 * x) and not y[:, ::2].any()


HELLO = """#include <stdio.h>
#include <omp.h>
int main(void) {
    %s
    return 0;
}
"""


def test_equal_output_is_shown_once(prepare, gcc):
    shown = prepare(HELLO % 'printf("first\\nsecond");', threads=(1, 2, 3))
    result = shown.run()
    text = plain(shown.text())
    assert text == "1 thread │ first\n1 thread │ second\n(the same output with 2, 3 threads)\n"
    assert [run.stdout for run in result.runs] == ["first\nsecond"] * 3


def test_different_output_says_with_how_many_threads(prepare, gcc):
    statement = 'printf("same\\nof %d\\n", omp_get_max_threads()); fprintf(stderr, "bad\\n");'
    shown = prepare(HELLO % statement, threads=(1, 3))
    shown.run()
    assert plain(shown.text()) == "1 thread │ same\n1 thread │ of 1\n3 threads │ same\n3 threads │ of 3\n"
    assert plain(shown.text("stderr")) == "1 thread │ bad\n3 threads │ bad\n"


def test_output_comes_while_the_program_runs(prepare, gcc):
    """The program waits for a file that is written when its first line has arrived."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "seen")
        shown = prepare(
            f'#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ printf("now\\n"); '
            f'while (access("{path}", F_OK)) usleep(1000); printf("then\\n"); }}', threads=(1,),
        )  # fmt: skip
        write = shown.cell.write

        def look(stream, text):
            write(stream, text)
            if "now" in text:
                open(path, "w").close()

        shown.cell.write = look
        shown.run()
    assert shown.text() == "now\nthen\n"


def test_long_output_is_cut_and_strange_bytes_do_no_harm(prepare, gcc):
    statement = 'for (int i = 0; i < 300000; i++) printf("%d\\n", i); putchar(255); puts("end");'
    shown = prepare(HELLO % statement, threads=(1,))
    result = shown.run()
    text = shown.text()
    assert text.startswith("0\n1\n2\n") and text.endswith("299999\n\ufffdend\n") and len(text) < 60_000
    assert "characters are left out" in text and result.runs[0].stdout == text


def test_the_environment_of_the_program(run_cell, gcc, monkeypatch):
    text = HELLO.replace("#include <stdio.h>", "#include <stdio.h>\n#include <stdlib.h>") % """
    omp_sched_t kind; int chunk;
    omp_get_schedule(&kind, &chunk);
    printf("%d %d %d %d %s %s %s", omp_get_max_threads(), (int)(kind & 7), chunk, omp_get_proc_bind(),
           getenv("KMP_X") ? "yes" : "no", getenv("OTHER"), getenv("OMP_PLACES"));"""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    monkeypatch.setenv("KMP_X", "1")
    monkeypatch.setenv("OTHER", "kept")
    environment = {"OMP_SCHEDULE": "guided,5", "OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}
    result = run_cell(text, threads=(3,), environment=environment)
    assert result.runs[0].stdout == "3 3 5 3 no kept cores"


def test_a_program_runs_once_a_repeat(run_cell, gcc, tmp_path):
    path = tmp_path / "runs"
    text = HELLO % f'FILE *f = fopen("{path}", "a"); fprintf(f, "%d ", omp_get_max_threads()); fclose(f);'
    result = run_cell(text, threads=(2, 1), repeat=3)
    assert path.read_text() == "2 2 2 1 1 1 " and [len(run.times_s) for run in result.runs] == [3, 3]


def test_an_unchanged_cell_is_not_built_again(prepare, gcc, monkeypatch):
    from labkit.openmp.cell import build

    text = HELLO % 'puts("a cell of this test");'
    prepare(text, threads=(1,)).run()
    monkeypatch.setattr(build, "run_compiler", lambda *_: pytest.fail("built again"))
    assert prepare(text, threads=(2,)).run().runs[0].stdout == "a cell of this test\n"
    with pytest.raises(pytest.fail.Exception, match="built again"):
        prepare(text, threads=(1,), flags=("-O1",)).run()
    with pytest.raises(pytest.fail.Exception, match="built again"):
        prepare(text.replace("a cell", "another cell"), threads=(1,)).run()


def test_headers_of_the_notebooks_folder_are_found_and_may_change(run_cell, gcc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = '#include <stdio.h>\n#include "mine.h"\nint main(void) { printf("%d", MINE); }'
    for number in (1, 2):
        (tmp_path / "mine.h").write_text(f"#define MINE {number}\n")
        assert run_cell(text, threads=(1,)).runs[0].stdout == str(number)


def test_macros_and_names_of_the_cell_do_not_disturb(run_cell, gcc):
    text = """
#define N 10
#define n 3
#define start 5
#define value 6
#define report 8
static int words = 4, sizes = 2, map = 1;
int run(void) { return N + n + start + value + report + words + sizes + map; }
"""
    assert run_cell(text, threads=(1,)).runs[0].value == 39


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("  \n", {}, "empty"),
        ("int x;", {}, "neither a main nor a function run: write int main"),
        ("void f(void) { }\nvoid g(void) { }", {}, "it defines f, g.*--call g"),
        ("int main(void) { }\nvoid run(void) { }", {}, "has a main, and a function run"),
        ("int main(void) { }", {"args": ("x",)}, "has a main, and --args"),
        ("int main(void) { }\nvoid f(void) { }", {"call": "f"}, "has a main, and a function f"),
        ("int main(void) { }", {"call": "main"}, "without --call"),
        ("void f(void) { }", {"call": "g"}, "no function g .*it defines f"),
        ("void run(int n) { }", {}, "run\\(int n\\) wants 1 argument, and 0 were given"),
        ("void run(void) { }\0", {}, "zero byte"),
    ],
)  # fmt: skip
def test_cells_that_cannot_run(prepare, text, options, words):
    with pytest.raises(UsageError, match=words):
        prepare(text, **options)


def test_default_threads_end_with_all_cores():
    assert [default_threads(n) for n in (1, 2, 3, 8, 12)] == [(1,), (1, 2), (1, 2, 3), (1, 2, 4, 8), (1, 2, 4, 8, 12)]


def test_speedups_and_fits_of_known_times():
    from labkit.openmp.scaling import amdahl

    runs = tuple(ThreadsRun(p, (8 / amdahl(p, 0.25), 9.0)) for p in (4, 1, 2, 8))
    result = CellResult(runs, fits_of(runs))
    np.testing.assert_allclose(result.speedups, [amdahl(p, 0.25) for p in (4, 1, 2, 8)])
    np.testing.assert_allclose(result.efficiencies, [amdahl(p, 0.25) / p for p in (4, 1, 2, 8)])
    fits = {fit.law: fit.parameters for fit in result.fits}
    assert fits["amdahl"]["serial_fraction"] == pytest.approx(0.25, abs=1e-6)
    assert fits["usl"] == pytest.approx({"contention": 0.25, "coherency": 0.0}, abs=1e-6)
    assert result.table().splitlines()[1].split() == ["4", "3.5", "s", "6.25", "s", "2.29", "57%"]
    assert CellResult(runs[1:2]).table().split() == ["threads", "best", "median", "1", "8", "s", "8.5", "s"]
    two = CellResult((ThreadsRun(2, (4.0,)), ThreadsRun(4, (2.0,))))
    assert two.speedups == (1.0, 2.0) and two.efficiencies == (1.0, 1.0) and fits_of(two.runs) == ()


def plain(text):
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
