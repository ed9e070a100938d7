"""Races: named where they are, and not where there are none."""

import shutil

import numpy as np
import pytest

from labkit.errors import NotAvailableError, ProgramError, UsageError
from labkit.openmp.cell import compilers, shared_array
from labkit.openmp.cell.races import Access, Race, find_races, show_races

pytestmark = pytest.mark.timeout(110)

HEAD = "#include <stdio.h>\n#include <stdlib.h>\n#include <omp.h>\n"

CORRECT = {
    "reduction": """int main(void) { double s = 0;
#pragma omp parallel for reduction(+ : s) schedule(dynamic, 3)
for (int i = 0; i < 1000; i++) s += i;
printf("%g", s); }""",
    "critical": """int main(void) { double s = 0;
#pragma omp parallel for
for (int i = 0; i < 200; i++) {
#pragma omp critical
s += i; }
printf("%g", s); }""",
    "atomic": """int main(void) { double s = 0;
#pragma omp parallel for schedule(guided)
for (int i = 0; i < 1000; i++) {
#pragma omp atomic
s += i; }
printf("%g", s); }""",
    "lock": """int main(void) { double s = 0; omp_lock_t lock; omp_init_lock(&lock);
#pragma omp parallel for
for (int i = 0; i < 200; i++) { omp_set_lock(&lock); s += i; omp_unset_lock(&lock); }
printf("%g", s); }""",
    "barrier and single": """int main(void) { int a[64]; long s = 0;
#pragma omp parallel reduction(+ : s)
{ int t = omp_get_thread_num(); a[t] = t;
#pragma omp barrier
s += a[(t + 1) % omp_get_num_threads()];
#pragma omp barrier
#pragma omp single
a[0] = 3;
s += a[0]; }
printf("%ld", s); }""",
    "tasks": """int fib(int n) { if (n < 2) return n; int a, b;
#pragma omp task shared(a)
a = fib(n - 1);
#pragma omp task shared(b)
b = fib(n - 2);
#pragma omp taskwait
return a + b; }
int main(void) { int r;
#pragma omp parallel
#pragma omp single
r = fib(10);
printf("%d", r); }""",
    "dependent tasks": """int main(void) { int x = 0, y = 0;
#pragma omp parallel
#pragma omp single
{
#pragma omp task depend(out : x)
x = 1;
#pragma omp task depend(in : x) depend(out : y)
y = x + 1;
#pragma omp task depend(in : y)
printf("%d", y); } }""",
    "ordered": """int main(void) { int s = 0;
#pragma omp parallel for ordered
for (int i = 0; i < 100; i++) {
#pragma omp ordered
s = (s * 3 + i) % 1000; }
printf("%d", s); }""",
    "sections": """int main(void) { int a = 0, b = 0;
#pragma omp parallel sections
{
#pragma omp section
a = 1;
#pragma omp section
b = 2; }
printf("%d", a + b); }""",
    "one region after the other": """static int a[100]; int main(void) {
for (int k = 0; k < 10; k++) {
#pragma omp parallel for
for (int i = 0; i < 100; i++) a[i] += i;
#pragma omp parallel for schedule(dynamic, 1)
for (int i = 0; i < 100; i++) a[i] += i; }
printf("%d", a[99]); }""",
}

# text, the lines of its two accesses (the magic's is 1), what is accessed, the kinds
RACY = {
    "sum": ("int main(void) { double s = 0;\n#pragma omp parallel for\nfor (int i = 0; i < 1000; i++)\n    s += i;\n"
            'printf("%g", s); }', (8, 8), "s"),
    "global": ("int counter; int main(void) {\n#pragma omp parallel for\nfor (int i = 0; i < 9; i++)\n    counter++; }",
               (8, 8), "counter"),
    "no wait": ("static int a[100], b[100]; int main(void) {\n#pragma omp parallel\n{\n#pragma omp for nowait\n"
                "for (int i = 0; i < 100; i++)\n    a[i] = i;\n#pragma omp for\nfor (int i = 0; i < 100; i++)\n"
                "    b[i] = a[99 - i];\n} }", (10, 13), "a[i]"),
    "one temporary": ("int main(void) { double t, a[100];\n#pragma omp parallel for\nfor (int i = 0; i < 100; i++) {\n"
                      '    t = i * 2.0;\n    a[i] = t; }\nprintf("%g", a[1]); }', (8, 8), "t"),
    "heap": ("int main(void) { int *p = calloc(10, 4);\n#pragma omp parallel for\nfor (int i = 0; i < 100; i++)\n"
             "    p[(i % 5)] += 1;\nfree(p); }", (8, 8), "p[(i % 5)]"),
}  # fmt: skip


@pytest.mark.parametrize("name", list(CORRECT))
@pytest.mark.parametrize("num_threads", [2, 4])
def test_correct_programs_are_not_accused(prepare, race_tools, name, num_threads):
    shown = prepare(HEAD + CORRECT[name], threads=(num_threads,))
    assert shown.cell.find_races() == ()
    assert shown.text() and shown.text("stderr") == ""


@pytest.mark.parametrize("name", RACY)
def test_races_are_named(prepare, race_tools, name):
    text, lines, variable = RACY[name]
    shown = prepare(HEAD + text, threads=(2,))
    races = shown.cell.find_races()
    found = {(tuple(access.line for access in race.accesses), race.variable) for race in races}
    assert (lines, variable) in found, races
    assert all("write" in race.accesses[0].kind + race.accesses[1].kind for race in races)
    said = show_races(list(races), shown.cell.text)
    assert f"race on {variable}: " in said
    assert f"{lines[0]:>5} | {(HEAD + text).splitlines()[lines[0] - 2]}" in said
    assert "Archer" not in shown.text() and "Sanitizer" not in shown.text("stderr") + said


def test_races_of_a_function_with_arrays(prepare, race_tools):
    text = "void run(int n, const double *x, double *h) {\n#pragma omp parallel for\n" \
           "    for (int i = 0; i < n; i++)\n        h[(int)x[i]] += 1;\n}"  # fmt: skip
    x, h = shared_array(1000), np.zeros(3)
    (race,) = prepare(text, {"x": x, "h": h}, args=("1000", "x", "h")).cell.find_races()
    assert [access.line for access in race.accesses] == [5, 5] and race.variable == "h[(int)x[i]]"
    assert 0 < h[0] <= 1000 and not h[1:].any()


def test_races_in_cxx(prepare, race_tools):
    if shutil.which("clang++") is None:
        pytest.skip("There is no clang++ here (Debian: apt install clang), so C++ is not checked for races.")
    text = "#include <vector>\nint main() {\n    std::vector<int> v(1);\n#pragma omp parallel for\n" \
           "    for (int i = 0; i < 100; i++)\n        v[0] += i;\n}"  # fmt: skip
    races = prepare(text, threads=(2,)).cell.find_races()
    assert {access.line for race in races for access in race.accesses} == {7}


def test_a_crash_under_the_sanitizer_is_an_error(prepare, race_tools):
    with pytest.raises(ProgramError):
        prepare(HEAD + "int main(void) { abort(); }", threads=(2,)).cell.find_races()


def test_races_before_a_crash_are_named_and_nothing_is_copied_back(prepare, race_tools):
    text = "#include <stdlib.h>\nvoid run(double *x) {\n#pragma omp parallel\n    x[0] += 1;\n    abort();\n}"
    x = np.zeros(3)
    shown = prepare(text, {"x": x}, args=("x",), threads=(2,))
    (race,) = shown.cell.find_races()
    assert [access.line for access in race.accesses] == [5, 5] and not x.any()
    assert "The program was ended by SIGABRT with 2 threads" in shown.text("stderr")


def test_a_sanitizer_without_room_is_no_failure_of_the_cell(prepare, race_tools):
    said = "FATAL: ThreadSanitizer: unexpected memory mapping 0x1"
    text = HEAD + f'int main(void) {{ fprintf(stderr, "{said}\\n"); return 66; }}'
    with pytest.raises(NotAvailableError, match="vm.mmap_rnd_bits=28"):
        prepare(text, threads=(2,)).cell.find_races()


def test_what_races_need(monkeypatch, tmp_path):
    monkeypatch.setattr(compilers.shutil, "which", lambda name: None)
    with pytest.raises(NotAvailableError, match="needs Clang .* apt install clang libomp-dev libclang-rt-dev"):
        compilers.find_race_tools(None, cxx=False)
    monkeypatch.undo()
    fake = tmp_path / "clang"
    fake.write_text("#!/bin/sh\necho clang version 3\n")
    fake.chmod(0o755)
    with pytest.raises(NotAvailableError, match="lacks its thread sanitizer"):
        compilers.find_race_tools(str(fake), cxx=False)
    (tmp_path / "resources" / "lib").mkdir(parents=True)
    (tmp_path / "resources" / "lib" / "libclang_rt.tsan.a").touch()
    fake.write_text(f"#!/bin/sh\n[ $1 = -print-resource-dir ] && echo {tmp_path}/resources || echo clang version 3\n")
    with pytest.raises(NotAvailableError, match="without libarcher.so"):
        compilers.find_race_tools(str(fake), cxx=False)


def test_gcc_is_not_asked_for_races(gcc):
    with pytest.raises(UsageError, match="GCC, whose sanitizer accuses correct OpenMP code"):
        compilers.find_race_tools("gcc", cxx=False)


LOG = """WARNING: ThreadSanitizer: data race (pid=1)
  Atomic read of size 4 at 0x1 by thread T1:
    #0 helper /usr/include/other.h:3:1 (a+0x1)
    #1 .omp_outlined. /tmp/x/cell.c:3:9 (a+0x1) (BuildId: 1)

  Previous write of size 4 at 0x1 by main thread (mutexes: write M1):
    #0 main /tmp/x/cell.c:2:9 (a+0x1)

  Location is global 'total' of size 4 at 0x1 (a+0x1)
"""


def test_a_report_in_words():
    cell = "    total = 1;\n    if (total) f();\n"
    unknown = "WARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 4 at 0x1 by thread T1:\n"
    races = find_races(LOG * 3 + unknown, cell)
    assert races == [
        Race((Access(2, 9, "write", ""), Access(3, 9, "atomic read", "total")), "total", 3)
    ]
    assert show_races(races, cell).splitlines()[0] == (
        "race on total: write at line 2 and atomic read at line 3, by two threads at the same time"
    )
    assert find_races("all is well", cell) == []
