"""Cells that end badly: the notebook goes on, nothing is left behind, and the message says where it was."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from labkit.errors import (
    CellInterruptedError,
    CellTimeoutError,
    CompileError,
    NotAvailableError,
    ProgramError,
    UsageError,
)
from labkit.openmp.cell import build as builder
from labkit.openmp.cell import shared_array
from labkit.openmp.cell.compilers import check_flags, find_compiler

pytestmark = [
    pytest.mark.timeout(110),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Processes are looked for in Linux's /proc."),
]

PROGRAM = """#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <omp.h>
static volatile int zero = 0;
int endless(int n) {{ volatile char a[5000]; a[0] = n; return n < -1 ? 0 : endless(n + 1) + a[0]; }}
int main(void) {{
    #pragma omp parallel
    {{
        {}
    }}
    return 0;
}}
"""
LINE = 12  # of the statement; the line of the magic is 1


@pytest.mark.parametrize(
    ("statement", "name", "words"),
    [
        ("if (omp_get_thread_num() == 1) *(volatile int *)8 = 1;", "SIGSEGV", "in thread 1"),
        ("if (omp_get_thread_num() == 0) *(volatile int *)8 = 1;", "SIGSEGV", "in thread 0"),
        ("zero = getpid() / zero;", "SIGFPE", "divided by 0"),
        ("abort();", "SIGABRT", "abort"),
    ],
)
def test_a_crash_names_signal_thread_and_line(run_cell, gcc, statement, name, words):
    with pytest.raises(ProgramError) as caught:
        run_cell(PROGRAM.format(statement), threads=(2,))
    error = caught.value
    assert (error.signal_name, error.num_threads, error.line, error.exit_status) == (name, 2, LINE, None)
    assert f"by {name} with 2 threads" in str(error) and f"at line {LINE}" in str(error) and words in str(error)
    assert str(error).endswith(f"   {LINE} |         {statement}")


@pytest.mark.parametrize("thread", [0, 1])
def test_a_full_stack_is_recognised(run_cell, gcc, thread):
    with pytest.raises(ProgramError) as caught:
        run_cell(PROGRAM.format(f"if (omp_get_thread_num() == {thread}) zero = endless(0);"), threads=(2,))
    assert caught.value.signal_name == "SIGSEGV" and "the stack is full" in str(caught.value)
    assert f"in thread {thread}" in str(caught.value) and caught.value.line == 8
    assert ("OMP_STACKSIZE" in str(caught.value)) == bool(thread)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1])
def test_a_program_that_is_killed(run_cell, gcc, number):
    with pytest.raises(ProgramError) as caught:
        run_cell("#include <signal.h>\n" + PROGRAM.format(f"kill(getpid(), {int(number)}); pause();"), threads=(1,))
    assert caught.value.signal_name == number.name and number.name in str(caught.value)


def test_an_exit_status_is_an_error_and_output_until_then_is_shown(prepare, gcc):
    shown = prepare(PROGRAM.format('printf("until here"); exit(3);'), threads=(1,))
    with pytest.raises(ProgramError, match="exit status 3 \\(with 1 thread\\)") as caught:
        shown.run()
    assert caught.value.exit_status == 3 and shown.text() == "until here"


def test_a_function_that_leaves_the_program(run_cell, gcc):
    with pytest.raises(ProgramError, match="exit status 0 in call 1 of 5: return"):
        run_cell("#include <stdlib.h>\nvoid run(void) { exit(0); }", threads=(1,))


def test_who_watches_the_program_may_be_killed(run_cell, gcc):
    with pytest.raises(ProgramError, match="watches over the program was killed"):
        run_cell("#include <signal.h>\n" + PROGRAM.format("kill(getppid(), 9); pause();"), threads=(1,), timeout_s=20)


@pytest.mark.parametrize("kind", ["plain", "shared"])
def test_arrays_are_as_before_after_a_failure(run_cell, gcc, kind):
    x = np.ones(10) if kind == "plain" else shared_array(10)
    x[:] = 1
    text = "#include <stdlib.h>\nvoid run(double *x) { for (int i = 0; i < 10; i++) x[i] = 7; abort(); }"
    with pytest.raises(ProgramError, match="SIGABRT"):
        run_cell(text, {"x": x}, args=("x",), threads=(1, 2))
    assert x.tolist() == [1] * 10


# -- nothing runs on --------------------------------------------------------------------------------------

TELLS = """#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <signal.h>
int main(void) {{
    for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
    {}
    FILE *f = fopen("{}.new", "w"); fprintf(f, "%d", (int)getpid()); fclose(f); rename("{}.new", "{}");
    {}
}}
"""
DAEMON = "if (fork() == 0) { setsid(); if (fork() == 0) { for (int k = 0; k < 3; k++) fork(); %s } _exit(0); } else %s"


def tells(path, before, after):
    return TELLS.format(before, *[path] * 3, after)


def wait_for(condition, what):
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.01)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def users_of(path):
    """Processes that run the program at a path."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.exe() == str(path):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_an_endless_loop_ends_with_its_time_limit(run_cell, gcc, tmp_path):
    path = tmp_path / "pid"
    with pytest.raises(CellTimeoutError, match="longer than --timeout 1.*with 2 threads"):
        run_cell(tells(path, "", "for (;;) ;"), threads=(2, 1), timeout_s=1)
    assert gone(int(path.read_text()))


def test_an_endless_function_puts_its_arrays_back(run_cell, gcc):
    x = shared_array(3)
    with pytest.raises(CellTimeoutError):
        text = "void run(double *x) { for (;;) ++*(volatile double *)x; }"
        run_cell(text, {"x": x}, args=("x",), timeout_s=1, threads=(2,))
    assert not x.any()


def test_stop_ends_the_program(prepare, gcc, tmp_path):
    path = tmp_path / "pid"
    shown = prepare(tells(path, "", "for (;;) ;"), threads=(2,))

    def press():
        wait_for(path.exists, "the program never started")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    button = threading.Thread(target=press)
    button.start()
    with pytest.raises(CellInterruptedError, match="Stopped while the cell ran with 2 threads") as caught:
        shown.run()
    button.join()
    assert isinstance(caught.value, KeyboardInterrupt) and gone(int(path.read_text()))


def test_stop_while_it_compiles(prepare, gcc, monkeypatch):
    started = []
    real = subprocess.Popen

    def popen(*args, **kwargs):
        started.append(real(*args, **kwargs))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return started[-1]

    shown = prepare("int main(void) { return 0; } // stopped while it compiles", threads=(1,))
    monkeypatch.setattr(builder.subprocess, "Popen", popen)
    with pytest.raises(CellInterruptedError, match="while the cell was compiled"):
        shown.run()
    monkeypatch.undo()
    assert shown.run().runs[0].stdout == ""  # nothing half-finished was kept


@pytest.mark.parametrize("how", ["ends", "time limit"])
def test_what_the_program_started_ends_with_it(run_cell, gcc, tmp_path, how):
    path, after = tmp_path / "pid", "sleep(1000);"
    daemon = DAEMON % ("for (;;) pause();", "usleep(200000);")
    text = tells(path, daemon, "return 0;" if how == "ends" else after)
    run = lambda: run_cell(text, threads=(1,), timeout_s=60 if how == "ends" else 2)  # noqa: E731
    if how == "ends":
        run()
    else:
        with pytest.raises(CellTimeoutError):
            run()
    assert gone(int(path.read_text()))
    for program in builder.build_folder().glob("*/program"):
        assert users_of(program) == []


def test_the_program_ends_with_the_notebook(gcc, tmp_path):
    path = tmp_path / "pid"
    code = (
        "from labkit.openmp.cell.run import *\n"
        f"OpenmpCell({tells(path, '', 'for (;;) ;')!r}, CellOptions(threads=(2,), timeout_s=100)).run()"
    )
    root = Path(__file__).parents[3]
    kernel = subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    try:
        wait_for(path.exists, "the program never started")
        pid = int(path.read_text())
        assert not gone(pid)
    finally:
        kernel.kill()
        kernel.wait()
    wait_for(lambda: gone(pid), "the program outlived its notebook")


def test_folders_of_killed_notebooks_are_removed_by_the_next_and_no_others(tmp_path):
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root), "TMPDIR": str(tmp_path)}
    code = "from labkit.openmp.cell.build import build_folder\nprint(build_folder(), flush=True)\ninput()"

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        return process, Path(process.stdout.readline().strip())

    (killed, first), (alive, second) = start(), start()
    killed.kill()
    killed.communicate()
    assert first.is_dir() and second.is_dir()
    third, folder = start()
    assert not first.exists() and second.is_dir() and folder.is_dir()
    for process in (alive, third):
        process.communicate("\n")
    assert list(tmp_path.iterdir()) == []


# -- the compiler -----------------------------------------------------------------------------------------

ERRORS = [
    ("int main(void) {\n    int x = 1\n    return x;\n}", {4: "expected"}),
    ("int main(void) {\n    return missing;\n}", {3: "undeclared"}),
    ("int main(void) {\n    #pragma omp paralel for\n    for (int i = 0; i < 3; i++) ;\n}", {3: "paralel"}),
    ("#include <nowhere.h>\nint main(void) { }", {2: "nowhere.h"}),
    ("#include <stdio.h>\nint f(int);\nint main(void) {\n    return f(3);\n}", {5: "f is used, but defined nowhere"}),
    ("void run(void) {\n    extern int nothing;\n    nothing = 3;\n}", {4: "nothing is used, but defined nowhere"}),
    ("int main(void) {\n    one;\n    two;\n}", {3: "one", 4: "two"}),
    ("int main(void) {\n#error my own words\n}", {3: "my own words"}),
    ("void run(void) {\n  if (1) {\n}", {None: "brace missing"}),
]


@pytest.mark.parametrize(("text", "expected"), ERRORS)
def test_errors_of_the_compiler_have_the_lines_of_the_cell(run_cell, gcc, text, expected):
    with pytest.raises(CompileError) as caught:
        run_cell(text, threads=(1,))
    errors = [message for message in caught.value.messages if message.kind == "error"]
    assert len(errors) == len(expected)
    for line, word in expected.items():
        assert any(message.line == line and word in message.text for message in errors), errors
        if line is not None:
            assert f"line {line}: error: " in str(caught.value)
            assert f"{line:>5} | {text.splitlines()[line - 2]}" in str(caught.value)
    assert "labkit" not in str(caught.value) and len(str(caught.value).splitlines()) < 20


def test_the_caret_stands_under_the_mistake(run_cell, gcc):
    with pytest.raises(CompileError) as caught:
        run_cell("int main(void) {\n\treturn 1 + missing;\n}", threads=(1,))
    quoted, caret = str(caught.value).splitlines()[2:4]
    assert quoted[caret.index("^") :].startswith("missing;")


def test_errors_in_templates_name_the_line_of_the_cell(run_cell, gxx):
    text = "#include <algorithm>\n#include <vector>\nstruct S { };\nint main() {\n    std::vector<S> v(3);\n" \
           "    std::sort(v.begin(), v.end());\n}"  # fmt: skip
    with pytest.raises(CompileError) as caught:
        run_cell(text, threads=(1,))
    assert "line 7: error: no match for 'operator<'" in str(caught.value)


def test_warnings_are_shown_and_the_cell_runs(prepare, gcc):
    shown = prepare("int main(void) {\n    int unused = 3;\n    return 0;\n}", threads=(1,))
    shown.run()
    assert shown.text("stderr").startswith("line 3: warning: unused variable 'unused'")
    assert prepare(shown.cell.text, threads=(1,)).run()  # also from the cache


def test_a_compiler_that_does_not_end_is_ended(run_cell, gxx):
    text = "template <int N> struct F { static const long v = F<N - 1>::v + F<N - 2>::v + sizeof(F<N-1>); };\n" \
           '#include "/dev/zero"\nint main() { }'  # fmt: skip
    with pytest.raises((CellTimeoutError, CompileError)):
        run_cell(text, cxx=True, threads=(1,), timeout_s=1)


def test_no_compiler(run_cell, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailableError, match="no C compiler .gcc.: install one: on Debian .* apt install gcc"):
        run_cell("int main(void) { }")
    with pytest.raises(NotAvailableError, match="no C\\+\\+ compiler .g\\+\\+."):
        run_cell("#include <iostream>\nint main() { }")
    with pytest.raises(NotAvailableError, match="--compiler clang: this machine has no clang: .* apt install clang"):
        run_cell("int main(void) { }", compiler="clang")


def test_compilers_that_are_none(tmp_path, monkeypatch):
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\nexit 1\n")
    false.chmod(0o755)
    with pytest.raises(UsageError, match="neither GCC nor Clang"):
        find_compiler(str(false), cxx=False)
    apple = tmp_path / "clang"
    apple.write_text("#!/bin/sh\necho Apple clang version 15.0.0\n")
    apple.chmod(0o755)
    with pytest.raises(NotAvailableError, match="Apple's Clang, which has no OpenMP: brew install gcc"):
        find_compiler(str(apple), cxx=False)
    without = tmp_path / "gcc"
    without.write_text("#!/bin/sh\n[ $1 = --version ] && echo 'Free Software Foundation' || "
                       "{ echo 'x.c:1: omp.h: No such file'; exit 1; }\n")  # fmt: skip
    without.chmod(0o755)
    with pytest.raises(NotAvailableError, match="has no OpenMP: install one"):
        builder.build("int main(void) { }", find_compiler(str(without), cxx=False))


@pytest.mark.parametrize("flags", [["-o", "x"], ["-c"], ["-E"], ["x.c"], ["-fsanitize=thread"], ["-ofile"], ["-"]])
def test_flags_that_are_not_for_a_cell(flags):
    with pytest.raises(UsageError, match="--flags"):
        check_flags(flags)
    assert check_flags(["-O1", "-ffast-math", "-DN=3", "-std=c11"]) == ["-O1", "-ffast-math", "-DN=3", "-std=c11"]
