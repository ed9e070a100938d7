"""STREAM: four loops that do almost nothing but move memory.

A machine's bandwidth, not its processor, bounds them; a second thread helps as far as one core cannot use all of it.

References
----------
J. McCalpin, "Memory bandwidth and machine balance in current high performance computers", IEEE TCCA Newsletter,
1995. Its counts are used here: 16 bytes an element for copy and scale, 24 for add and triad. (A store that is not
in the cache is loaded first, which moves 8 more.)
"""

from __future__ import annotations

import numpy as np
from numba import njit

from labkit.errors import UsageError
from labkit.openmp.kernels.arrays import FLOAT64, finite_number, output, vector
from labkit.openmp.kernels.ladder import Ladder, Version


@njit(cache=True, nogil=True)
def copy_chunk(start, stop, a, out):
    a, out = a[start:stop], out[start:stop]  # a loop from 0 to size needs no check for indices below 0, and vectorises
    for i in range(out.size):
        out[i] = a[i]


@njit(cache=True, nogil=True)
def scale_chunk(start, stop, a, scalar, out):
    a, out = a[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = scalar * a[i]


@njit(cache=True, nogil=True)
def add_chunk(start, stop, a, b, out):
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = a[i] + b[i]


@njit(cache=True, nogil=True)
def triad_chunk(start, stop, a, b, scalar, out):
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(out.size):
        out[i] = a[i] + scalar * b[i]


@njit(cache=True, nogil=True)
def copy_indexed(start, stop, a, out):
    for i in range(start, stop):  # each might be negative, and then counts from the end
        out[i] = a[i]


@njit(cache=True, nogil=True)
def scale_indexed(start, stop, a, scalar, out):
    for i in range(start, stop):
        out[i] = scalar * a[i]


@njit(cache=True, nogil=True)
def add_indexed(start, stop, a, b, out):
    for i in range(start, stop):
        out[i] = a[i] + b[i]


@njit(cache=True, nogil=True)
def triad_indexed(start, stop, a, b, scalar, out):
    for i in range(start, stop):
        out[i] = a[i] + scalar * b[i]


def _checked(name: str, num_arrays: int, has_scalar: bool, arguments: tuple, out) -> tuple:
    """The arrays and the scalar of an operation, checked, and the array for the result."""
    if len(arguments) != num_arrays + has_scalar:
        wanted = ", ".join([*("a", "b")[:num_arrays], *["scalar"] * has_scalar])
        raise UsageError(f"{name} takes ({wanted}), not {len(arguments)} arguments: pass those.")
    first = vector("a", arguments[0])
    arrays = [first, *(vector("b", argument, first.size) for argument in arguments[1:num_arrays])]
    scalars = [finite_number("scalar", argument) for argument in arguments[num_arrays:]]
    return *arrays, *scalars, output(out, first.shape, FLOAT64, *arrays)


def _versions(name: str, chunk, indexed, num_arrays: int, has_scalar: bool) -> tuple[Version, ...]:
    kinds = name, num_arrays, has_scalar

    def serial(team, *arguments, out=None, schedule="static"):
        given = _checked(*kinds, arguments, out)
        chunk(0, given[0].size, *given)
        return given[-1]

    def naive(team, *arguments, out=None, schedule="static"):
        given = _checked(*kinds, arguments, out)
        team.parallel_for(indexed, given[0].size, *given, schedule=schedule)
        return given[-1]

    def fine(team, *arguments, out=None, schedule="dynamic,1"):
        given = _checked(*kinds, arguments, out)
        team.parallel_for(chunk, given[0].size, *given, schedule=schedule)
        return given[-1]

    def fast(team, *arguments, out=None, schedule="static"):
        given = _checked(*kinds, arguments, out)
        team.parallel_for(chunk, given[0].size, *given, schedule=schedule)
        return given[-1]

    for function in (serial, naive, fine, fast):
        function.__name__ = function.__qualname__ = f"{name}_{function.__name__}"
    return (
        Version("serial", serial, True, "One thread."),
        Version("naive", naive, True, "Slow: an index might be negative, so neighbours are not loaded as one vector."),
        Version("fine", fine, True, "Slow: to take a chunk of one element costs more than to compute it."),
        Version("fast", fast, True, "A block a thread; each is sliced out first, and then indexed from 0."),
    )


def _make_input(num_arrays: int, has_scalar: bool):
    def make_input(size: int, seed: int = 0) -> tuple:
        """``size`` elements."""
        rng = np.random.default_rng(seed)
        return (*(rng.standard_normal(size) for _ in range(num_arrays)), *([3.0] if has_scalar else []))

    return make_input


def _ladder(name, chunk, indexed, num_arrays, has_scalar, oracle, flops) -> Ladder:
    num_bytes = 8 * (num_arrays + 1)
    return Ladder(
        name, _versions(name, chunk, indexed, num_arrays, has_scalar), oracle, _make_input(num_arrays, has_scalar),
        bytes=lambda a, *rest: num_bytes * a.size, flops=lambda a, *rest: flops * a.size,
    )  # fmt: skip


LADDERS = (
    _ladder("copy", copy_chunk, copy_indexed, 1, False, lambda a: a.copy(), 0),
    _ladder("scale", scale_chunk, scale_indexed, 1, True, lambda a, scalar: scalar * a, 1),
    _ladder("add", add_chunk, add_indexed, 2, False, lambda a, b: a + b, 1),
    _ladder("triad", triad_chunk, triad_indexed, 2, True, lambda a, b, scalar: a + scalar * b, 2),
)
