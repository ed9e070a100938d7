"""Latency and bandwidth between ranks 0 and 1, measured the way of the OSU benchmarks.

::

    ping_pong   0 --> 1        windowed_bandwidth   0 ==========> 1   64 messages in flight
                0 <-- 1                             0 <---------- 1   one empty reply
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from labkit.errors import UsageError
from labkit.hardware.messages import fit_alpha_beta
from labkit.mpi.arguments import check_count, check_num_ranks, usage_error
from labkit.mpi.clock import wall_time
from labkit.mpi.requests import wait_all

LARGE_MESSAGE_BYTES = 8192
# (iterations, warm-up) of small and of large messages, as in osu_latency and osu_bw
LATENCY_LOOPS = ((10_000, 100), (1000, 10))
MOST_BATCHES = 9  # of timed round trips
BANDWIDTH_LOOPS = ((100, 10), (20, 2))


@dataclass(frozen=True, slots=True)
class PingPongResult:
    """Messages of one size: seconds of one message, one way, and ``bandwidth`` in bytes a second."""

    num_bytes: int
    seconds_one_way: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class AlphaBetaFit:
    """The line ``alpha_s + beta_s_per_byte * bytes`` and how far off it is at each measured size.

    ``relative_residuals`` are ``(measured - predicted) / measured``, in the order of ``sizes_bytes``; where
    one is large, no line fits.
    """

    alpha_s: float
    beta_s_per_byte: float
    sizes_bytes: tuple[int, ...]
    relative_residuals: tuple[float, ...]

    def predict_s(self, num_bytes: float) -> float:
        """Seconds of one message of ``num_bytes``."""
        return self.alpha_s + self.beta_s_per_byte * num_bytes

    @property
    def half_bandwidth_bytes(self) -> float:
        """The size at which alpha and beta cost the same: half of the best bandwidth is reached."""
        return self.alpha_s / self.beta_s_per_byte if self.beta_s_per_byte else math.inf


def loop_counts(num_bytes: int, loops=LATENCY_LOOPS, effort: float = 1.0) -> tuple[int, int]:
    """How many messages are timed, and how many go before them untimed.

    >>> loop_counts(8), loop_counts(8193), loop_counts(8, effort=0.001)
    ((10000, 100), (1000, 10), (10, 1))
    """
    iterations, warmup = loops[num_bytes > LARGE_MESSAGE_BYTES]
    return max(1, round(iterations * effort)), max(1, round(warmup * effort))


def ping_pong(
    comm,
    sizes: Sequence[int],
    *,
    iterations: int | None = None, warmup: int | None = None, effort: float = 1.0,
    clock: Callable[[], float] = wall_time,
) -> list[PingPongResult]:
    """Time of one message of each size: half of a round trip between ranks 0 and 1.

    A single message is too short to be timed, and clocks of two machines disagree; so rank 0 times many
    round trips by its own clock. Rank 1 sends back what it received. The other ranks wait.

    Parameters
    ----------
    comm : Communicator
        At least 2 ranks; all of them call.
    sizes : sequence of int
        Bytes of the messages, each 0 or more.
    iterations, warmup : int, optional
        Round trips that are timed, and that go before them untimed. Default: those of osu_latency,
        10000 + 100 up to 8 KiB and 1000 + 10 above, times ``effort``.
    effort, clock : float, callable
        0.01 makes a hundredth of the round trips; ``clock()`` returns seconds.

    Returns
    -------
    list of PingPongResult
        In the order of ``sizes``; bitwise equal on all ranks.

    Raises
    ------
    UsageError
        Fewer than 2 ranks; a size or a count that is none.

    Notes
    -----
    ``2 * (iterations + warmup)`` messages a size, and one barrier. Messages follow each other without pause
    and from memory in cache, so this is the best case of an application.

    References
    ----------
    D. K. Panda et al., OSU Micro-Benchmarks, osu_latency; osu_bw for :func:`windowed_bandwidth`.
    """
    call = "ping_pong"
    check_num_ranks(comm, call, 2)
    sizes = [check_count(comm, call, "each of sizes", num_bytes) for num_bytes in sizes]
    plans = [_plan(comm, call, num_bytes, LATENCY_LOOPS, iterations, warmup, effort) for num_bytes in sizes]
    seconds = np.zeros(len(sizes))
    for index, (num_bytes, (timed, untimed)) in enumerate(zip(sizes, plans, strict=True)):
        comm.Barrier()
        if comm.rank < 2:
            seconds[index] = _round_trips_s(comm, num_bytes, timed, untimed, clock) / 2
    comm.Bcast(seconds, root=0)
    return [_result(size, s) for size, s in zip(sizes, seconds, strict=True)]


def _round_trips_s(comm, num_bytes, iterations, warmup, clock) -> float:
    """Seconds of a round trip on this rank, 0 or 1: the median of a few batches, so that one pause does not count."""
    sendbuf = np.resize(np.arange(251, dtype=np.uint8), num_bytes)
    recvbuf = np.zeros(num_bytes, np.uint8)
    batch = -(-iterations // MOST_BATCHES)
    times = []
    for number in [warmup, *[batch] * (iterations // batch), iterations % batch]:
        start = clock()
        for _ in range(number):
            if comm.rank == 0:
                comm.Send(sendbuf, 1, 1)
                comm.Recv(recvbuf, 1, 1)
            else:
                comm.Recv(recvbuf, 0, 1)
                comm.Send(recvbuf, 0, 1)
        times.append((clock() - start) / max(number, 1))
    return median(times[1:-1])


def windowed_bandwidth(
    comm,
    num_bytes: int,
    window: int = 64,
    *,
    iterations: int | None = None, warmup: int | None = None, effort: float = 1.0,
    clock: Callable[[], float] = wall_time,
) -> PingPongResult:
    """Bandwidth from rank 0 to rank 1 with ``window`` messages in flight.

    A ping-pong pays the latency for every message. Here the latencies overlap; each window ends with one
    empty reply, which tells rank 0 that all have arrived. Its time is divided by ``window``.

    Parameters
    ----------
    comm, effort, clock
        As in :func:`ping_pong`, which raises the same errors.
    num_bytes, window : int
        Bytes of one message, and how many are in flight.
    iterations, warmup : int, optional
        Windows. Default: those of osu_bw, 100 + 10 up to 8 KiB and 20 + 2 above.

    Returns
    -------
    PingPongResult
        Bitwise equal on all ranks.

    Raises
    ------
    UsageError
        Fewer than 2 ranks; a size or a count that is none.

    Notes
    -----
    ``(iterations + warmup) * (window + 1)`` messages. Rank 1 needs ``window * num_bytes`` of memory: two
    receives in flight must not write to the same place (osu_bw lets them).
    """
    call = "windowed_bandwidth"
    check_num_ranks(comm, call, 2)
    num_bytes, window = check_count(comm, call, "num_bytes", num_bytes), check_count(comm, call, "window", window, 1)
    timed, untimed = _plan(comm, call, num_bytes, BANDWIDTH_LOOPS, iterations, warmup, effort)
    seconds = np.zeros(1)
    comm.Barrier()
    if comm.rank < 2:
        seconds[0] = _windows_s(comm, num_bytes, window, timed, untimed, clock) / timed / window
    comm.Bcast(seconds, root=0)
    return _result(num_bytes, seconds[0])


def _windows_s(comm, num_bytes, window, iterations, warmup, clock) -> float:
    """Seconds of ``iterations`` windows on this rank, 0 or 1."""
    # Filled: memory that was never written is one page of zeros, read from the cache.
    buffers = np.ones((1 if comm.rank == 0 else window, num_bytes), np.uint8)
    reply = np.zeros(0, np.uint8)
    for iteration in range(warmup + iterations):
        if iteration == warmup:
            start = clock()
        if comm.rank == 0:
            wait_all([comm.Isend(buffers[0], 1, 1) for _ in range(window)])
            comm.Recv(reply, 1, 2)
        else:
            wait_all([comm.Irecv(buffer, 0, 1) for buffer in buffers])
            comm.Send(reply, 0, 2)
    return clock() - start


def fit_ping_pong(results: Sequence[PingPongResult]) -> AlphaBetaFit:
    """The line through the times of a ping-pong, with the relative errors made small.

    Relative, because the times span decades: absolute least squares would fit the largest message alone.

    Raises
    ------
    UsageError
        Fewer than two different sizes, or a time that is not positive.

    >>> times = {0: 2e-6, 1000: 3e-6, 10**6: 1.002e-3}
    >>> fit = fit_ping_pong([PingPongResult(size, s, size / s) for size, s in times.items()])
    >>> round(fit.alpha_s * 1e6, 3), round(fit.half_bandwidth_bytes)
    (2.0, 2000)
    """
    sizes = tuple(result.num_bytes for result in results)
    if len(set(sizes)) < 2 or not all(result.seconds_one_way > 0 for result in results):
        raise UsageError(
            "fit_ping_pong: a line needs two sizes or more and times above 0, but the points are "
            f"{[(r.num_bytes, r.seconds_one_way) for r in results]}. Measure more sizes, or more iterations."
        )
    times = np.array([result.seconds_one_way for result in results])
    alpha, beta = fit_alpha_beta(sizes, times)
    residuals = (times - (alpha + beta * np.array(sizes, float))) / times
    return AlphaBetaFit(alpha, beta, sizes, tuple(residuals.tolist()))


def _plan(comm, call, num_bytes, loops, iterations, warmup, effort) -> tuple[int, int]:
    """(iterations, warm-up): what was asked for, else the usual ones."""
    if not effort > 0:
        raise usage_error(comm, call, f"effort must be above 0, but it is {effort!r}. 1.0 is the usual one.")
    usual = loop_counts(num_bytes, loops, effort)
    return (
        usual[0] if iterations is None else check_count(comm, call, "iterations", iterations, 1),
        usual[1] if warmup is None else check_count(comm, call, "warmup", warmup),
    )


def _result(num_bytes, seconds) -> PingPongResult:
    """With the bandwidth: infinite where the clock did not move."""
    bandwidth = num_bytes / seconds if seconds > 0 else math.inf if num_bytes else 0.0
    return PingPongResult(num_bytes, float(seconds), float(bandwidth))
