"""All versions of softmax by name, behind one signature.

::

    softmax(x)                                  # the fastest on this machine's processor: threaded
    softmax(x, version="online", out=y)
    softmax_backward(y, gradient, version="blocked")
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class Version:
    """A version of softmax.

    Attributes
    ----------
    name : str
    idea : str
        In a few words.
    place, forward_name, backward_name : str
        Module of this package, and its functions ``forward(x, out=)`` and ``backward(y, gradient, out=)``.
    num_reads, num_writes : int
        Passes over memory: how often an element is read and written if a row fits in no cache, as the algorithm has it
        (temporary arrays of NumPy not counted).
    num_exponentials : int
        Computed for each element.
    is_log : bool
        The result is the logarithm.
    needs_gpu : bool
    """

    name: str
    idea: str
    place: str
    forward_name: str
    backward_name: str
    num_reads: int
    num_writes: int
    num_exponentials: int
    is_log: bool = False
    needs_gpu: bool = False

    @property
    def forward(self) -> Callable:
        """``forward(x, *, out=None)``."""
        return getattr(importlib.import_module(f"labkit.softmax.{self.place}"), self.forward_name)

    @property
    def backward(self) -> Callable:
        """``backward(y, gradient, *, out=None)``."""
        place = self.place if self.backward_name != "softmax_backward" else "shifted"
        return getattr(importlib.import_module(f"labkit.softmax.{place}"), self.backward_name)


VERSIONS = {
    version.name: version
    for version in (
        Version("naive", "the definition", "naive", "softmax_naive", "softmax_naive_backward", 2, 1, 2),
        Version("shifted", "minus the maximum", "shifted", "softmax_shifted", "softmax_backward", 3, 1, 2),
        Version("log", "logarithms", "shifted", "log_softmax", "log_softmax_backward", 3, 1, 1, is_log=True),
        Version("online", "maximum and sum in one pass", "online", "softmax_online", "softmax_backward", 2, 1, 2),
        Version("two_pass", "exponents apart", "two_pass", "softmax_two_pass", "softmax_backward", 2, 1, 2),
        Version("blocked", "blocks in the cache", "blocked", "softmax_blocked", "softmax_blocked_backward", 2, 1, 2),
        Version("threaded", "threads", "threaded", "softmax_threaded", "softmax_threaded_backward", 2, 1, 2),
        Version("gpu", "Triton kernels", "gpu", "softmax_gpu", "softmax_gpu_backward", 1, 1, 1, needs_gpu=True),
    )
}


def find_version(name: str) -> Version:
    """The version of a name, or a UsageError that lists them.

    Examples
    --------
    >>> find_version("online").num_reads
    2
    """
    if not isinstance(name, str) or name not in VERSIONS:
        raise UsageError(f"version: one of {', '.join(VERSIONS)}, not {name!r}: pass one of these.")
    return VERSIONS[name]


def softmax(x: np.ndarray, *, version: str = "threaded", out: np.ndarray | None = None) -> np.ndarray:
    """The probabilities of rows of logits (with ``version="log"`` their logarithms).

    Parameters
    ----------
    x : array (n, C), contiguous, of float16, float32 or float64
    version : str
        A name in ``VERSIONS``.
    out : array (n, C) of the same type, optional

    Raises
    ------
    UsageError
        A version, array or ``out`` that does not fit.
    NotAvailableError
        ``"gpu"`` without Triton, or without a GPU.

    Examples
    --------
    >>> softmax(np.array([[1.0, 1.0]]), version="online").tolist()
    [[0.5, 0.5]]
    """
    return find_version(version).forward(x, out=out)


def softmax_backward(
    y: np.ndarray, gradient: np.ndarray, *, version: str = "threaded", out: np.ndarray | None = None
) -> np.ndarray:
    """The gradient of a loss by the logits, from the result ``y`` and the gradient by it.

    Examples
    --------
    >>> softmax_backward(np.array([[0.25, 0.75]]), np.array([[1.0, 0.0]]), version="shifted").tolist()
    [[0.1875, -0.1875]]
    """
    return find_version(version).backward(y, gradient, out=out)
