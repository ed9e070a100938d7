"""The load generator: :func:`run_load` is an open loop, :func:`run_closed` a closed one.

Users do not wait for each other. A closed loop's clients do: while the server stalls, they send nothing, and the
requests that would have met the stall are missing from the record (coordinated omission). An open loop sends at times
fixed beforehand, and counts latency from these.

References: G. Tene, How NOT to measure latency, Strange Loop 2015. B. Schroeder, A. Wierman, M. Harchol-Balter, Open
versus closed: a cautionary tale, NSDI 2006.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.serving.load.checks import count, number
from labkit.serving.load.process import run_job
from labkit.serving.load.request import request_bytes, target_of
from labkit.serving.load.result import LoadResult

LONGEST_S = 86400.0
MOST_REQUESTS = 5_000_000


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far a run is: seconds since its start and of its plan, requests started, planned, under way, and over."""

    elapsed_s: float
    planned_s: float
    num_started: int
    num_planned: int | None
    num_under_way: int
    num_ok: int
    num_failed: int

    def __str__(self) -> str:
        planned = f" of {self.num_planned}" if self.num_planned is not None else ""
        return (
            f"{self.elapsed_s:.1f} of {self.planned_s:.1f} s: {self.num_started}{planned} requests sent, {self.num_ok} "
            f"answered, {self.num_under_way} under way, {self.num_failed} failed"
        )


def run_load(
    url: str, times: Iterable[float], bodies: object, *, timeout_s: float = 30.0, num_connections: int | None = None,
    progress: Callable[[LoadProgress], object] | None = None,
) -> LoadResult:
    """Send requests at given times, whatever becomes of earlier ones, and record every one of them.

    Parameters
    ----------
    url : str
        ``http://host:port/path``; without a path, ``/predict``.
    times : iterable of float
        Seconds from the start of the run: see :mod:`labkit.serving.load.arrivals`. Up to a day.
    bodies : bytes, str, dict, or a list of these, or None
        Sent in turn; a dict as JSON. None sends GET requests.
    timeout_s : float
        A request without a complete answer so long after its time is given up, and its connection closed.
    num_connections : int, optional
        At most so many connections, and so requests at once; further ones wait, and their waiting counts. By default
        as many as there are requests under way.
    progress : callable, optional
        Told a :class:`LoadProgress` a few times a second; ``print`` will do.

    Returns
    -------
    LoadResult
        Also if the server refuses, dies, or was never there: that is then what was measured. If the Stop button is
        pressed, what was measured until then.

    Raises
    ------
    UsageError
        No such URL, times, bodies or options.
    LabkitError
        The generator's own process was killed.

    Notes
    -----
    The generator runs in a process of its own. ``result.is_generator_limited`` says whether that kept up: some ten
    thousand requests a second are the most it can send, fewer beside a server on the same cores.

    Examples
    --------
    ::

        result = run_load(server.url, poisson(200, 10, seed=1), [{"rows": rows}])
        print(result.summary())
        result.percentile(99)
    """
    target = target_of("run_load", url)
    due = _checked_times(times)
    job = _job(target, request_bytes("run_load", target, bodies), "run_load", timeout_s, num_connections)
    job |= {"times": due.tolist(), "num_clients": 0, "duration_s": None}
    planned_s = float(due[-1]) if len(due) else 0.0
    record = run_job(job, _told(progress, planned_s, len(due)))
    return LoadResult(url=url, kind="open", timeout_s=job["timeout_s"], num_planned=len(due), **record)


def run_closed(
    url: str, num_clients: int, duration_s: float, bodies: object, *, timeout_s: float = 30.0,
    progress: Callable[[LoadProgress], object] | None = None,
) -> LoadResult:
    """Clients that send their next request when the answer to the last one has come, for some seconds.

    It finds the most that a server can do, and hides how long users would wait: ``scheduled_s`` is when a client was
    free to send. A client whose request got no answer rests for a tenth of a second.

    Parameters
    ----------
    url, bodies, timeout_s, progress
        As in :func:`run_load`.
    num_clients : int
        1 to 10 000.
    duration_s : float
        No request starts later; those under way are waited for.

    Returns
    -------
    LoadResult
    """
    target = target_of("run_closed", url)
    num_clients = count("run_closed", "num_clients", num_clients, least=1, most=10_000)
    duration_s = number("run_closed", "duration_s", duration_s, above=0, most=LONGEST_S)
    job = _job(target, request_bytes("run_closed", target, bodies), "run_closed", timeout_s, None)
    job |= {"times": None, "num_clients": num_clients, "duration_s": duration_s}
    record = run_job(job, _told(progress, duration_s, None))
    return LoadResult(
        url=url, kind="closed", timeout_s=job["timeout_s"], num_planned=len(record["scheduled_s"]), **record
    )


def _checked_times(times: Iterable[float]) -> np.ndarray:
    try:
        due = np.array(times if isinstance(times, (np.ndarray, list, tuple)) else list(times), np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"run_load: times is an array of seconds ({error}): labkit.serving.load.arrivals makes some."
        ) from None
    if due.ndim != 1 or len(due) > MOST_REQUESTS:
        raise UsageError(
            f"run_load: times has one dimension and at most {MOST_REQUESTS:,} numbers, not shape "
            f"{due.shape}: pass a part."
        )
    if len(due) and not (np.isfinite(due).all() and due.min() >= 0 and due.max() <= LONGEST_S):
        raise UsageError(
            f"run_load: times are seconds from the start of the run, 0 to {LONGEST_S:g}, but go from {due.min():g} to "
            f"{due.max():g}: subtract the first, or take a part."
        )
    return np.sort(due)


def _job(target, requests: list[bytes], function: str, timeout_s: object, num_connections: object) -> dict:
    if num_connections is not None:
        num_connections = count(function, "num_connections", num_connections, least=1)
    return {
        "address": target.address, "port": target.port, "requests": requests, "num_connections": num_connections,
        "timeout_s": number(function, "timeout_s", timeout_s, above=0, most=3600),
    }


def _told(progress, planned_s: float, num_planned: int | None):
    if progress is None:
        return None
    return lambda state: progress(LoadProgress(planned_s=planned_s, num_planned=num_planned, **state))
