"""Softmax on a team of threads: rows are dealt out; of few long rows, parts.

The work is in :mod:`.threaded_kernels`. Importing this module imports Numba.
"""

from __future__ import annotations

import functools
import os

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.team import Team
from labkit.softmax import exp as own
from labkit.softmax import threaded_kernels as kernels
from labkit.softmax.arguments import check_rows, check_same, result_array, wide
from labkit.softmax.backward_kernels import backward_rows
from labkit.softmax.state_kernels import states_of_rows

PART = 32 * kernels.BLOCK  # columns of a part of a row
STREAM_BYTES = 2**30  # results from this size on are written past the caches; at 64 MiB that was slower


@functools.cache
def _default_team() -> Team:
    return Team(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _check_team(team) -> Team:
    if team is None:
        return _default_team()
    if not isinstance(team, Team):
        raise UsageError(f"team is a labkit.openmp.team.Team or None, not {team!r:.60}: pass for example Team(2).")
    return team


def softmax_threaded(x: np.ndarray, *, out: np.ndarray | None = None, team: Team | None = None) -> np.ndarray:
    """The probabilities of rows of logits, on threads and with packed instructions.

    Parameters
    ----------
    x, out
        As in :func:`.naive.softmax_naive`, as are result and errors. Results of at least 1 GiB are written past the
        caches.
    team : labkit.openmp.team.Team, optional
        By default a thread for each usable core.

    Notes
    -----
    Reads x once from memory and writes the result there once, for rows that fit into the caches; longer rows, and those
    of ``out=x``, are read twice. No array besides the result but for float16. Error at most 2 ulp in float32, however
    far below the maximum; 3 ulp in float64. The result does not depend on the number of threads for rows of fewer than
    131072 columns; of a few longer ones threads share each row, and the last place may depend on it.

    Examples
    --------
    >>> softmax_threaded(np.array([[1000.0, 1000.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    team = _check_team(team)
    result = result_array(out, check_rows("x", x))
    if x.size == 0:
        return result
    if x.dtype == np.float16:
        result[...] = softmax_threaded(wide(x), team=team)
        return result
    n, num_columns = x.shape
    apart = result.ctypes.data != x.ctypes.data
    streaming = apart and result.nbytes >= STREAM_BYTES
    keeps = apart and not streaming and num_columns <= kernels.KEPT
    if n >= 4 * team.num_threads or num_columns < 2 * PART or team.num_threads == 1:
        chunk = max(1, min(n // (8 * team.num_threads), 2**18 // num_columns))
        schedule = "static" if num_columns <= kernels.BLOCK else f"dynamic,{chunk}"
        team.parallel_for(kernels.softmax_rows, n, x, keeps, streaming, result, schedule=schedule)
        return result
    num_parts = -(-num_columns // PART)
    kinds, states = np.empty(n * num_parts, np.int64), np.empty((n * num_parts, 4))
    team.parallel_for(kernels.state_of_parts, n * num_parts, x, PART, num_parts, kinds, states, schedule="dynamic,1")
    kernels.merge_parts(num_parts, kinds, states)
    # Rows with numbers that are far from 0 are done by one thread each, from their first part; so out is not x there.
    if apart or (kinds[::num_parts] == kernels.FINE).all():
        team.parallel_for(
            kernels.write_parts, n * num_parts, x, PART, num_parts, kinds, states, streaming, result,
            schedule="dynamic,1",
        )
    else:
        team.parallel_for(kernels.softmax_rows, n, x, keeps, streaming, result, schedule="dynamic,1")
    return result


def softmax_threaded_backward(
    y: np.ndarray, gradient: np.ndarray, *, out: np.ndarray | None = None, team: Team | None = None
) -> np.ndarray:
    """The gradient by the logits, on threads: sums in float64.

    Parameters, result and errors as :func:`.naive.softmax_naive_backward` and :func:`softmax_threaded`.

    Examples
    --------
    >>> softmax_threaded_backward(np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]])).tolist()
    [[0.1875, -0.1875]]
    """
    team = _check_team(team)
    check_same("gradient", gradient, "y", check_rows("y", y))
    result = result_array(out, y, gradient)
    if y.size == 0:
        return result
    if y.dtype == np.float16:
        result[...] = softmax_threaded_backward(wide(y), wide(gradient), team=team)
        return result
    team.parallel_for(backward_rows, len(y), y, gradient, result)
    return result


def row_states(x: np.ndarray, *, team: Team | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The states (m, d) of rows: maximum, and sum of ``exp(x - m)``, in float64; one pass over x.

    Returns
    -------
    m, d : arrays (n,)
        (-inf, 0) for rows without columns or with nothing but -inf; d is NaN in rows with NaN or +inf.

    Examples
    --------
    >>> [values.tolist() for values in row_states(np.array([[5.0, 5.0], [-np.inf, -np.inf]]))]
    [[5.0, -inf], [2.0, 0.0]]
    """
    team = _check_team(team)
    x = wide(check_rows("x", x))
    maxima, sums = np.full(len(x), -np.inf), np.zeros(len(x))
    if x.size:
        team.parallel_for(states_of_rows, len(x), x, maxima, sums, schedule="dynamic,1")
    return maxima, sums


def exp_own(x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
    """``e**x`` by our own exponential function; float32 or float64, contiguous, any shape.

    Error at most 1.02 ulp (of all float32 inputs: 1.0193), also of subnormal results.

    Raises
    ------
    UsageError
        Another type, or an array that is not contiguous.

    Examples
    --------
    >>> exp_own(np.array([0.0, -np.inf, 1000.0])).tolist()
    [1.0, 0.0, inf]
    """
    if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64) or not x.flags.c_contiguous:
        raise UsageError(
            "x is a contiguous array of float32 or float64: pass numpy.ascontiguousarray(x, numpy.float32)."
        )
    flat = x.reshape(1, -1)
    result = result_array(None if out is None else out.reshape(1, -1), flat)
    loop = own.exp_into32 if x.dtype == np.float32 else own.exp_into64
    loop(flat[0], result[0])
    return result.reshape(x.shape) if out is None else out


def probabilities(
    x: np.ndarray, m: np.ndarray, d: np.ndarray, scale: np.ndarray, *, out: np.ndarray | None = None,
    team: Team | None = None,
) -> np.ndarray:
    """``exp(x - m) / d * scale`` row by row, where the states (m, d) are known: of whole rows of which x is a part.

    Parameters
    ----------
    x, out, team
        As in :func:`softmax_threaded`.
    m, d, scale : arrays (n,) of float64
        Maxima, which are numbers of the type of x, and sums as :func:`row_states` gives them; factors.

    Examples
    --------
    >>> probabilities(np.zeros((1, 2)), np.zeros(1), np.array([4.0]), np.array([2.0])).tolist()
    [[0.5, 0.5]]
    """
    team = _check_team(team)
    result = result_array(out, check_rows("x", x))
    if x.size:
        logits = wide(x)
        to = result if logits is x else np.empty_like(logits)
        team.parallel_for(kernels.probabilities_of_rows, len(x), logits, m, d, scale, to, schedule="dynamic,1")
        if to is not result:
            result[...] = to
    return result
