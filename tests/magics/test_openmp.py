"""%%openmp in an IPython shell and in a real kernel."""

import os
import re
import shutil
import sys
import time

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import KernelManager

from labkit.errors import CellInterruptedError, CompileError, ProgramError, UsageError
from labkit.magics.openmp import _options

pytestmark = pytest.mark.timeout(110)

HELLO = """#include <stdio.h>
#include <omp.h>
int main(void) {
    #pragma omp parallel
    {
        #pragma omp single
        printf("team of %d\\n", omp_get_num_threads());
    }
    return 0;
}
"""
SCALE = "double run(double *x, int n) {\n    for (int i = 0; i < n; i++) x[i] *= 2;\n    return x[0];\n}\n"
RACE = """int main(void) {
    int s = 0;
    #pragma omp parallel for
    for (int i = 0; i < 100; i++)
        s += i;
    return s < 0;
}
"""
FIGURE = "application/vnd.plotly.v1+json"


@pytest.fixture(scope="module")
def shell():
    if shutil.which("gcc") is None:
        pytest.skip("There is no gcc here (Debian: apt install gcc libc6-dev), so no cell of C is compiled.")
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    return shell


def run(shell, line, text):
    with capture_output() as captured:
        shell.run_cell_magic("openmp", line, text)
    return captured


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_program_with_several_numbers_of_threads(shell):
    captured = run(shell, "--threads 1,2,3", HELLO)
    lines = plain(captured.stdout).splitlines()
    assert lines[:3] == [f"{'1 thread' if n == 1 else f'{n} threads'} │ team of {n}" for n in (1, 2, 3)]
    assert lines[3].split() == ["threads", "time", "speed-up", "efficiency"]
    assert [line.split()[0] for line in lines[4:7]] == ["1", "2", "3"]
    result = shell.user_ns["_openmp"]
    assert [run.num_threads for run in result.runs] == [1, 2, 3]
    figures = [o.data[FIGURE] for o in captured.outputs if FIGURE in o.data]
    assert len(figures) == 1
    names = " ".join(trace["name"] for trace in figures[0]["data"])
    assert all(word in names for word in ("measured", "Amdahl", "Gustafson", "USL"))


def test_a_picture_when_it_is_asked_for(shell):
    two = run(shell, "--threads 1,2", HELLO)
    assert not [o for o in two.outputs if FIGURE in o.data]
    assert [o for o in run(shell, "--threads 1,2 --plot", HELLO).outputs if FIGURE in o.data]
    without_one = run(shell, "--threads 2,3,4", HELLO)
    assert not [o for o in without_one.outputs if FIGURE in o.data]
    assert "relative to 2 threads" in without_one.stdout and "No picture" in without_one.stdout


def test_arrays_of_the_notebook(shell):
    from labkit.openmp.cell import shared_array

    shell.user_ns.update(x=np.arange(5.0), y=shared_array(5), n=5)
    shell.user_ns["y"][:] = 3
    captured = run(shell, "--args x,n --threads 1,2 --repeat 2", SCALE)
    assert shell.user_ns["x"].tolist() == [0, 2, 4, 6, 8]
    assert captured.stdout.startswith("(x was copied into shared memory;") and "returned" in captured.stdout
    captured = run(shell, "--args 'y, 5' --threads 2", SCALE)
    assert shell.user_ns["y"].tolist() == [6] * 5 and "copied" not in captured.stdout
    assert shell.user_ns["_openmp"].runs[0].value == 6.0


def test_more_threads_than_cores_is_said(shell):
    from labkit.openmp.cell.entry import usable_cores

    many = usable_cores() + 1
    captured = run(shell, f"--threads 1,{many}", HELLO)
    assert f"{many} threads had to share" in captured.stdout
    assert "had to share" not in run(shell, "--threads 1", HELLO).stdout


def test_a_busy_machine_is_said(shell, monkeypatch):
    from labkit.hardware import timing

    assert timing.BUSY_SHARE < 0.9
    monkeypatch.setattr(timing.Contention, "__exit__", lambda self, *_: setattr(self, "others_share", 0.9))
    assert "busy: other processes used 90% of the machine" in run(shell, "--threads 1", HELLO).stdout
    monkeypatch.setattr(timing.Contention, "__exit__", lambda self, *_: setattr(self, "others_share", 0.0))
    assert "busy" not in run(shell, "--threads 1", HELLO).stdout


def test_schedule_environment_and_flags(shell):
    text = """#include <stdio.h>
#include <stdlib.h>
#include <omp.h>
int main(void) {
    omp_sched_t kind; int chunk;
    omp_get_schedule(&kind, &chunk);
    #pragma omp parallel for schedule(runtime)
    for (int i = 0; i < 4; i++) ;
    printf("%d %d %d %s %d", (int)(kind & 7), chunk, N, getenv("MINE"), (int)omp_get_proc_bind());
}
"""
    captured = run(shell, '--threads 1 --schedule "Dynamic, 4" --flags "-DN=-3 -O1" --env MINE=a=b --bind spread', text)
    assert captured.stdout.startswith("2 4 -3 a=b 4") and captured.stderr == ""
    assert "this cell has none" in run(shell, "--threads 1 --schedule guided --flags -O0", HELLO).stderr


def test_errors_leave_the_last_result_and_have_no_frames_of_ours(shell):
    run(shell, "--threads 1", HELLO)
    before = shell.user_ns["_openmp"]
    with pytest.raises(CompileError, match="line 3: error") as caught:
        run(shell, "", "int main(void) {\n    retrun 0;\n}\n")
    with pytest.raises(ProgramError, match="exit status 4"):
        run(shell, "--threads 1", "int main(void) { return 4; }")
    assert shell.user_ns["_openmp"] is before
    assert caught.value._render_traceback_()[0].endswith(str(caught.value))


def test_races(shell):
    from labkit.errors import NotAvailableError
    from labkit.openmp.cell.compilers import find_race_tools

    try:
        find_race_tools(None, cxx=False)
    except NotAvailableError as error:
        pytest.skip(f"Races are not looked for here: {error}")
    captured = run(shell, "--races --threads 1,2", RACE)
    assert captured.stdout.startswith("race on s: line 6: write and write")
    assert "    6 |         s += i;" in captured.stdout
    assert shell.user_ns["_openmp"].races[0].accesses[0].line == 6
    captured = run(shell, "--races", RACE.replace("parallel for", "parallel for reduction(+ : s)"))
    assert re.fullmatch(r"No race in this run with \d+ threads. Only what was executed was checked.\n", captured.stdout)
    assert shell.user_ns["_openmp"].races == ()


def test_code_is_shown_before_the_run_and_without_one(shell):
    captured = run(shell, "--emit-asm --vector-report", SCALE)  # no arguments: nothing is run
    assert "line 3: vectorized" in captured.stdout and "run: loop of line 3" in captured.stdout
    assert "threads" not in captured.stdout
    assert shell.user_ns["_openmp"].remarks[0].vectorized and shell.user_ns["_openmp"].loops
    captured = run(shell, "--threads 1 --emit-asm main", HELLO)
    assert "main:\n" in captured.stdout and "team of 1" in captured.stdout


@pytest.mark.parametrize(
    "line",
    ["--threads 0", "--threads 10000", "--threads -1", "--threads two", "--threads 1,,2", "--threads 1.5", "--threads",
     "--threads " + ",".join(map(str, range(1, 70))), "--repeat 0", "--repeat 1e3", "--repeat -1", "--repeat 2000",
     "--timeout nan", "--timeout inf", "--timeout 0", "--timeout -1", "--timeout soon", "--schedule fast",
     "--schedule dynamic,0", "--schedule runtime", "--bind me", "--places 'a;b'", "--env MINE", "--env 1=2",
     "--env OMP_NUM_THREADS=2", "--what",
     "extra", "--thread 1", "'unclosed", "-h"],
)  # fmt: skip
def test_wrong_lines(line):
    with pytest.raises(UsageError) as caught:
        _options.parse_line(line)
    assert "\n" not in str(caught.value) and "Usage: %%openmp" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [("", "  \n", "empty"), ("--plot --threads 2", HELLO, "--plot"), ("--races --plot", HELLO, "--races"),
     ("--args x,,n", SCALE, "wants 2 arguments, and 3"), ("--args nowhere,3", SCALE, "no variable 'nowhere'"),
     ("--flags '-o x'", HELLO, "-o is not for a cell"), ("--flags \"'\"", HELLO, "no closing"),
     ("--call f", HELLO, "no function f"), ("--emit-asm f", HELLO, "defines main"), ("", SCALE, "wants 2 arguments"),
     ("--compiler ls", HELLO, "neither GCC nor Clang")],
)  # fmt: skip
def test_what_makes_no_sense(shell, line, cell, words):
    with pytest.raises(UsageError, match=words):
        run(shell, line, cell)


def test_right_lines():
    options = _options.parse_line("--threads 1,4,4,2 --flags -O1 --args -1,x --emit-asm --timeout 1.5  # a comment")
    assert (options.threads, options.flags, options.args) == ((1, 4, 2), "-O1", "-1,x")
    assert (options.emit_asm, options.timeout, options.repeat, options.env) == ("", 1.5, None, [])
    assert _options.parse_line("--emit-asm f --cxx").emit_asm == "f" and _options.parse_line("").emit_asm is None
    assert _options.parse_line("--env A=1 --env B=-2").env == [("A", "1"), ("B", "-2")]


@pytest.mark.timeout(150)
def test_the_stop_button(tmp_path, shell):
    manager = KernelManager(kernel_name="python3")
    manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(env=os.environ | {"IPYTHONDIR": str(tmp_path)}, cwd=str(tmp_path))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert execute(manager, client, "%load_ext labkit") == ("", None)
        endless = '#include <stdio.h>\nint main(void) {\n    printf("begun\\n");\n    for (;;) ;\n}'
        text, error = execute(manager, client, f"%%openmp --threads 2\n{endless}", stop_when="begun")
        assert error["ename"] == CellInterruptedError.__name__ and "labkit/" not in "\n".join(error["traceback"])
        text, error = execute(manager, client, f"%%openmp --threads 2\n{HELLO}")
        assert error is None and "team of 2" in text
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(manager, client, source, stop_when=None):
    """Run a cell in the kernel; press Stop once what it has printed contains a word."""
    request = client.execute(source)
    text, error, limit = "", None, time.monotonic() + 60
    while True:
        message = client.get_iopub_msg(timeout=max(0.1, limit - time.monotonic()))
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            text += content["text"]
        elif kind == "error":
            error = content
        elif kind == "status" and content["execution_state"] == "idle":
            return text, error
        if stop_when is not None and stop_when in text:
            stop_when = None
            manager.interrupt_kernel()
