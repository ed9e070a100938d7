"""Machine code and vector reports: loops whose shape is known."""

import platform
import re

import pytest

from labkit.errors import CompileError, UsageError
from labkit.openmp.cell.assembly import innermost_loops, parse_assembly
from labkit.openmp.cell.compilers import find_compiler
from labkit.openmp.cell.examine import assembly_of, remarks_of, show_assembly
from labkit.openmp.cell.vectors import parse_remarks, show_remarks

X86 = platform.machine() == "x86_64"
CELL = """void scale(int n, const float *restrict x, float *restrict y) {
    #pragma omp parallel for
    for (int i = 0; i < n; i++)
        y[i] = 2 * x[i];
}
static void recurrence(int n, float *y) {
    for (int i = 1; i < n; i++)
        y[i] = y[i] / y[i - 1];
}
void run(int n, float *y) { recurrence(n, y); }
"""


@pytest.fixture(params=["gcc", "clang", "g++"])
def compiler(request):
    import shutil

    if shutil.which(request.param) is None:
        pytest.skip(f"There is no {request.param} here (Debian: apt install gcc g++ clang libomp-dev).")
    return find_compiler(request.param, cxx=False)


@pytest.fixture
def cell(compiler):
    return CELL.replace("restrict", "__restrict")


def test_loops_of_the_cell(compiler, cell):
    functions = assembly_of(cell, compiler)
    text, loops = show_assembly(functions, cell)
    lines = {line for loop in loops for line in loop.lines}
    assert {5, 9} & lines and lines <= set(range(2, 13))
    assert not re.search(r"^\s*\.(?:cfi|loc|p2align|type)|#DEBUG", text, re.MULTILINE)
    assert "# line 5: y[i] = 2 * x[i];" in text or "# line 4: for" in text
    if X86:
        widest = max(loop.vector_bits for loop in loops if set(loop.lines) & {4, 5})
        assert widest >= 128
        divisions = [loop for loop in loops if any("divss" in item.text for item in loop.body)]
        assert divisions and all(loop.vector_bits == 0 and set(loop.lines) <= {8, 9} for loop in divisions)


def test_a_function_with_its_parallel_regions(compiler, cell):
    functions = assembly_of(cell, compiler)
    text, loops = show_assembly(functions, cell, "scale")
    assert re.search(r"call\w* (?:GOMP_parallel|__kmpc_fork_call)", text) or not X86
    assert "y[i] = 2 * x[i]" in text and "y[i - 1]" not in text
    assert loops and all(set(loop.lines) <= set(range(2, 7)) for loop in loops)
    with pytest.raises(UsageError, match="--emit-asm nothing: the cell defines scale, recurrence, run"):
        show_assembly(functions, cell, "nothing")


def test_remarks_have_the_lines_of_the_cell(compiler, cell):
    remarks = remarks_of(cell, compiler)
    state = {remark.line: remark.vectorized for remark in remarks}
    assert any(state.get(line) for line in (3, 4, 5)), remarks  # Clang names the pragma, GCC the body
    assert state.get(8) is False, remarks
    assert all(remark.text for remark in remarks if remark.vectorized)
    assert "line 8: not vectorized" in show_remarks(remarks, cell)


def test_flags_count(compiler, cell):
    assert not any(remark.vectorized for remark in remarks_of(cell, compiler, ["-O1", "-fno-tree-vectorize"])
                   ) or compiler.family == "clang"  # fmt: skip
    with pytest.raises(CompileError, match="line 2"):
        assembly_of("int broken( {", compiler)


def test_a_jump_back_is_no_loop_unless_it_goes_round():
    text = """
\t.file 1 "cell.c"
run:
\t.cfi_startproc
\t.loc 1 2 5
.L2:
\t.loc 1 3 5
\tvaddpd %ymm0, %ymm1, %ymm2
\tjne .L2
\tje .L4
.L1:
\taddl $1, %eax
\tjmp .L9
.L9:
\tret
.L4:
\tjmp .L1
\t.cfi_endproc
other:
\t.cfi_startproc
\t.loc 2 7 1
\tret
\t.cfi_endproc
"""
    (function,) = parse_assembly(text, "cell.c")
    assert function.name == "run" and function.first_line == 2
    (loop,) = innermost_loops([function])
    assert (loop.lines, loop.num_instructions, loop.vector_bits) == ((3,), 2, 256)


def test_remarks_are_one_a_line():
    output = """cell.c:5:28: optimized: loop vectorized using 64 byte vectors
cell.c:5:28: optimized:  loop versioned for vectorization because of possible aliasing
cell.c:5:28: optimized: loop vectorized using 32 byte vectors
cell.c:4:37: missed: couldn't vectorize loop
cell.c:4:11: missed: not vectorized: number of iterations cannot be computed.
cell.c:5:28: missed: couldn't vectorize loop
cell.c:5:28: missed: not vectorized: the rest of it.
cell.c:6:17: missed: couldn't vectorize loop
cell.c:7:26: missed: not vectorized: no grouped stores.
other.h:9:1: missed: couldn't vectorize loop
cell.c:9:1: missed: not vectorized: why.
"""
    cell = "a\nb\n#pragma omp parallel for\nloop\nloop\nbody"
    remarks = parse_remarks(output, "cell.c", cell)
    assert [(r.line, r.vectorized, r.text) for r in remarks] == [
        (5, True, "64-byte vectors, 32-byte vectors"), (6, False, "no grouped stores (line 7)")
    ]  # fmt: skip
