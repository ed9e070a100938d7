"""Prototypes read from the text, against the compiler's own view of the types."""

import subprocess

import numpy as np
import pytest

from labkit.openmp.cell.prototype import dtype_of, functions_of, looks_like_cxx

TYPES = [
    "char", "signed char", "unsigned char", "short", "short int", "unsigned short", "int", "unsigned", "unsigned int",
    "signed", "signed int", "long", "long int", "unsigned long", "long unsigned int", "long long", "long long int",
    "unsigned long long", "size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t", "bool", "_Bool", "float", "double",
    "long double", *(f"{u}int{n}_t" for u in ("", "u") for n in (8, 16, 32, 64)),
]  # fmt: skip


def test_types_have_the_size_and_sign_that_the_compiler_gives_them(gcc, tmp_path):
    rows = "".join(f'printf("%zu %d %d\\n", sizeof({t}), ({t})-1 < ({t})0, ({t})0.5 != 0);' for t in TYPES)
    source = tmp_path / "types.c"
    source.write_text(
        "#include <stdio.h>\n#include <stdint.h>\n#include <stddef.h>\n#include <stdbool.h>\n#include <sys/types.h>\n"
        f"int main(void) {{ {rows} }}\n"
    )
    subprocess.run([gcc, "-w", str(source), "-o", str(tmp_path / "types")], check=True, timeout=60)
    output = subprocess.run([tmp_path / "types"], capture_output=True, text=True, check=True, timeout=60).stdout
    for name, line in zip(TYPES, output.splitlines(), strict=True):
        size, signed, fraction = map(int, line.split())
        dtype = dtype_of(name)
        assert dtype.itemsize == size, name
        if name in ("bool", "_Bool"):
            assert dtype.kind == "b"
        elif fraction:
            assert dtype.kind == "f", name
        elif name != "char":
            assert dtype.kind == ("i" if signed else "u"), name


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("double complex", "complex128"), ("float _Complex", "complex64"), ("std::complex<double>", "complex128"),
     ("struct point", None), ("FILE", None), ("void", None), ("long float", None)],
)  # fmt: skip
def test_other_types(name, dtype):
    assert dtype_of(name) == (dtype and np.dtype(dtype))


def test_functions_and_their_lines():
    text = """#include <stdio.h>
// void commented(int n) { }
static const char *text = "void quoted(int n) { }";
#define MACRO(x) void made(int x) { \\
    }
typedef float real;
struct point { double x; };
int table[] = { 1, 2, 3 };
void declared(int n);

__attribute__((noinline)) static inline real
first(const real *restrict x, unsigned long n)
{
    for (int i = 0; i < 3; i++) { if (n) { } }
    return x[0];
}
extern "C" {
int run(void) { return 0; }
}
"""
    found = functions_of(text)
    assert {name: function.line for name, function in found.items()} == {"first": 12, "run": 19}
    x, n = found["first"].parameters
    assert (x.name, x.dtype, x.pointer, x.const) == ("x", np.float32, True, True)
    assert (n.name, n.dtype, n.pointer, n.const) == ("n", np.uint64, False, False)
    assert found["first"].returns.dtype == np.float32 and found["run"].parameters == ()


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("double *x", ("x", True, False, ())), ("double x[]", ("x", True, False, ("",))),
        ("double x[n][10]", ("x", True, False, ("n", "10"))), ("double const *x", ("x", True, True, ())),
        ("double *const x", ("x", True, False, ())), ("const double x[restrict]", ("x", True, True, ("",))),
        ("const double *const restrict x", ("x", True, True, ())), ("const double x", ("x", False, True, ())),
        ("double*x", ("x", True, False, ())), ("double", ("", False, False, ())),
    ],
)  # fmt: skip
def test_parameters(declared, expected):
    parameter = functions_of(f"void run(int n, {declared}) {{ }}")["run"].parameters[1]
    assert (parameter.name, parameter.pointer, parameter.const, parameter.lengths) == expected
    assert parameter.dtype == np.float64


@pytest.mark.parametrize(
    "declared", ["double **x", "double *x[]", "double (*x)[10]", "double &x", "struct point p", "FILE *f"]
)
def test_parameters_that_cannot_be_passed_are_known_as_such(declared):
    parameter = functions_of(f"void run({declared}) {{ }}")["run"].parameters[0]
    assert parameter.dtype is None or parameter.pointers > 1 or (parameter.pointers and parameter.lengths)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("#include <iostream>", True), ("#include <vector>", True), ("using namespace std;", True),
     ("int main() { std::sort(a, b); }", True), ("#include <stdio.h>", False), ("// std::sort\n", False),
     ('puts("#include <iostream> std::x");', False), ("#include <complex.h>", False)],
)  # fmt: skip
def test_cxx_is_recognised(text, expected):
    assert looks_like_cxx(text) is expected
