"""Arguments of the notebook against prototypes: what does not fit is named before anything is compiled."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.openmp.cell.arguments import Arguments
from labkit.openmp.cell.prototype import functions_of
from labkit.openmp.cell.shared import block_of, shared_array


def arguments(prototype, words, several_calls=False, **namespace):
    function = functions_of(f"void {prototype} {{ }}")["run"]
    given = Arguments(function, [w for w in words.split(",") if w], namespace)
    given.share(several_calls=several_calls)
    return given


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("double *x", np.zeros(3, np.float32), ["argument 1 of run, x", "double *x (float64)", "an array of float32"]),
        ("double *x", np.zeros(3, np.int8), ["x = x.astype(np.float64)"]),
        ("float *x", np.zeros(3), ["float *x (float32)", "an array of float64"]),
        ("int *x", np.zeros(3, np.int64), ["int32", "int64"]),
        ("unsigned *x", np.zeros(3, np.int32), ["uint32", "int32"]),
        ("double *x", np.zeros(3, ">f8"), ["foreign byte order"]),
        ("double *x", np.zeros((4, 4))[:, 1], ["strides (32,)", "np.ascontiguousarray(x)"]),
        ("double *x", np.asfortranarray(np.zeros((4, 3))), ["np.ascontiguousarray(x)"]),
        ("double *x", np.zeros(6)[::-1], ["np.ascontiguousarray(x)"]),
        ("double *x", np.array([1, None]), ["Python objects"]),
        ("void *x", np.array([1, None]), ["Python objects"]),
        ("double *x", [1.0, 2.0], ["is a list", "np.asarray(x, np.float64)"]),
        ("double *x", 3.0, ["is a float"]),
        ("double *x", None, ["is a NoneType"]),
        ("double **x", np.zeros(3), ["plain pointer"]),
        ("struct point *x", np.zeros(3), ["does not know the type 'point'"]),
        ("int x", 1.5, ["C wants int x (int32)", "a float", "int(x)"]),
        ("int x", np.float64(2.0), ["int(x)"]),
        ("int x", "3", ["a str", "whole number"]),
        ("int x", np.zeros(3, np.int32), ["a ndarray"]),
        ("int x", 2**31, ["-2147483648 to 2147483647", "2147483648", "wider type"]),
        ("unsigned char x", -1, ["0 to 255"]),
        ("size_t x", -1, ["0 to 18446744073709551615"]),
        ("bool x", 2, ["0 to 1"]),
        ("double x", "a", ["a str"]),
        ("double x", True, ["a bool"]),
        ("double x", 10**400, ["too large"]),
        ("float x", 1e300, ["too large", "double"]),
        ("double complex x", 1j, ["complex numbers are passed as arrays"]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(parameter, value, words):
    with pytest.raises(UsageError) as caught:
        arguments(f"run({parameter})", "x", x=value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_only_arrays_fit_const_parameters_alone():
    x = np.arange(3.0)
    x.flags.writeable = False
    assert not arguments("run(const double *x)", "x", x=x).arrays[0].writable
    with pytest.raises(UsageError, match="x is read-only: declare it const double"):
        arguments("run(double *x)", "x", x=x)


@pytest.mark.parametrize(
    ("words", "expected"),
    [("x", "wants 2 arguments, and 1 was given"), ("x,n,n", "3 were given"), ("", "0 were given"),
     ("x,y", "no variable 'y'"), ("x,n+1", "'n\\+1' is neither"), ("x,1e", "neither"), ("x,1.5", "int\\(1.5\\)")],
)  # fmt: skip
def test_wrong_words(words, expected):
    with pytest.raises(UsageError, match=expected):
        arguments("run(double *x, int n)", words, x=np.zeros(3), n=3)


def test_numbers_are_passed_exactly():
    given = arguments(
        "run(int a, unsigned long b, double c, float d, bool e, int8_t f, double g, double h)",
        "-3,b,c,0.5,e,0x7F,1e3,i", b=2**64 - 1, c=np.float64(0.1), e=np.True_, i=float("nan"),
    )  # fmt: skip
    words, fds = given.command()
    assert fds == []
    assert [w.split(":")[0] for w in words] == ["i", "u", "d", "d", "i", "i", "d", "d"]
    texts = [w.split(":")[1] for w in words]
    assert [int(t) for t in (texts[0], texts[1], texts[4], texts[5])] == [-3, 2**64 - 1, 1, 127]
    assert [float.fromhex(t) for t in (texts[2], texts[3], texts[6])] == [0.1, 0.5, 1000.0]
    assert np.isnan(float.fromhex(texts[7]))


@pytest.mark.parametrize(
    ("prototype", "shape", "n", "fits"),
    [
        ("run(int n, double x[n][n])", (3, 3), 3, True), ("run(int n, double x[n][n])", (3, 4), 3, False),
        ("run(int n, double x[n][n])", (9,), 3, False), ("run(int n, double x[n])", (3,), 3, True),
        ("run(int n, double x[n])", (2,), 3, False), ("run(int n, double x[n])", (2, 2), 3, True),
        ("run(int n, double x[][4])", (9, 4), 0, True), ("run(int n, double x[][4])", (9, 5), 0, False),
        ("run(int n, double x[10])", (9,), 0, False), ("run(int n, double x[n + 1][n])", (9, 3), 3, True),
        ("run(int n, double *x)", (2, 3, 4), 0, True),
    ],
)  # fmt: skip
def test_lengths_between_brackets_agree_with_the_shape(prototype, shape, n, fits):
    if fits:
        arguments(prototype, "n,x", n=n, x=np.zeros(shape))
    else:
        with pytest.raises(UsageError, match="--args: x has shape"):
            arguments(prototype, "n,x", n=n, x=np.zeros(shape))


def test_shared_arrays_are_not_copied_and_others_once():
    shared, plain = shared_array(10), np.zeros(10)
    given = arguments("run(double *a, double *b, const double *c)", "s,p,p", s=shared, p=plain)
    assert given.copied == ["p"]
    assert given.arrays[0].block is block_of(shared)[0]
    assert given.arrays[1].block is given.arrays[2].block
    given.arrays[1].shared[:] = np.arange(10.0).view(np.uint8)
    assert not plain.any()
    given.finish()
    assert plain.tolist() == list(range(10))


def test_arrays_are_put_back_after_a_failure():
    shared, plain = shared_array(4), np.ones(4)
    shared[:] = 5
    given = arguments("run(double *a, double *b)", "s,p", several_calls=True, s=shared, p=plain)
    shared[:] = 9  # as the program would
    assert given.put_back() == [] and shared.tolist() == [5] * 4 and plain.tolist() == [1] * 4
    assert arguments("run(double *a)", "s", s=shared).put_back() == ["s"]  # one call: there is no copy


def test_overlapping_arrays_are_refused_where_they_would_come_apart():
    x, shared = np.zeros(10), shared_array(10)
    with pytest.raises(UsageError, match="a and b share memory"):
        arguments("run(double *a, const double *b)", "a,b", a=x[:6], b=x[4:])
    arguments("run(const double *a, const double *b)", "a,b", a=x[:6], b=x[4:])
    arguments("run(double *a, double *b)", "a,b", a=x[:5], b=x[5:])
    arguments("run(double *a, double *b)", "a,b", a=shared[:6], b=shared[4:])
