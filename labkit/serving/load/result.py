"""What a run measured: a record of every request, and what follows from it."""

from __future__ import annotations

import json
import math
import zipfile
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from labkit.errors import UsageError
from labkit.serving.load.checks import number
from labkit.serving.load.outcome import Outcome
from labkit.serving.load.words import seconds, summary

ARRAYS = {
    "scheduled_s": np.float64, "started_s": np.float64, "sent_s": np.float64, "done_s": np.float64, "status": np.int16,
    "outcome": np.uint8,
}
FORMAT = "labkit load result 1"
LATE_S, LATE_SHARE, BUSY_SHARE = 0.002, 0.25, 0.9  # bounds of is_generator_limited
PERCENTILES = (50, 90, 99, 99.9)


@dataclass(frozen=True, eq=False, repr=False)
class LoadResult:
    """A record of every request that was started, and how the generator itself did.

    Attributes
    ----------
    url : str
    kind : str
        ``"open"`` (requests are sent when they are due) or ``"closed"`` (when the answer before has come).
    scheduled_s : ndarray of float64
        When each request was due; in a closed loop, when its client was free to send it.
    started_s, sent_s, done_s : ndarray of float64
        When the generator turned to it, when it had a connection and sent it (NaN: never), when its answer was there
        (NaN: none). All in seconds from the start of the run.
    status : ndarray of int16
        Of HTTP; 0 without an answer.
    outcome : ndarray of uint8
        See :class:`labkit.serving.load.outcome.Outcome`.
    timeout_s, elapsed_s : float
        The limit of a request; the length of the run.
    cpu_s : float
        CPU seconds of the generator.
    num_planned : int
        Requests that were due if nobody had stopped the run; in a closed loop those that were started.
    num_connections, most_under_way : int
        Connections opened, and the most requests at once.
    num_waited : int
        Requests that had to wait for one of ``num_connections`` allowed ones.
    first_answers : dict of int to str
        The beginning of the first answer with each status.
    is_stopped : bool
        Whether it was stopped before its end.
    """

    url: str
    kind: str
    scheduled_s: np.ndarray
    started_s: np.ndarray
    sent_s: np.ndarray
    done_s: np.ndarray
    status: np.ndarray
    outcome: np.ndarray
    timeout_s: float
    elapsed_s: float
    cpu_s: float
    num_planned: int
    num_connections: int = 0
    most_under_way: int = 0
    num_waited: int = 0
    first_answers: dict[int, str] = field(default_factory=dict)
    is_stopped: bool = False

    def __len__(self) -> int:
        return len(self.scheduled_s)

    def __repr__(self) -> str:
        return f"<LoadResult: {self.summary().splitlines()[0]}; summary() says more>"

    @property
    def is_ok(self) -> np.ndarray:
        """Which requests got an answer with a status of 200 to 299."""
        return (self.status >= 200) & (self.status < 300)

    @property
    def num_ok(self) -> int:
        return int(self.is_ok.sum())

    @property
    def latency_s(self) -> np.ndarray:
        """From the moment a request was due to its answer; NaN without one.

        Not from the moment it was sent: a user who comes during a stall waits, whether or not the generator does.
        """
        return self.done_s - self.scheduled_s

    @property
    def service_s(self) -> np.ndarray:
        """From the moment a request was sent to its answer: what a closed loop calls latency."""
        return self.done_s - self.sent_s

    @property
    def lateness_s(self) -> np.ndarray:
        """How late the generator turned to each request."""
        return self.started_s - self.scheduled_s

    def percentile(self, q: float, *, failures: str = "infinite") -> float:
        """The latency in seconds that ``q`` percent of the requests did not exceed.

        Parameters
        ----------
        q : float
            0 to 100.
        failures : str
            ``"infinite"``: a request that failed (a status other than 2xx, a time limit, a lost connection) took for
            ever, as it did for who sent it. ``"left out"``: of successful answers alone; say how many failed beside it.

        Returns
        -------
        float
            Of the requests as they are, without interpolation; NaN if there is none.
        """
        q = number("percentile", "q", q, least=0, most=100)
        if failures not in ("infinite", "left out"):
            raise UsageError(f'percentile: failures is "infinite" or "left out", not {failures!r}: pass one of these.')
        ok = self.is_ok
        latencies = np.sort(self.latency_s[ok])
        total = len(latencies) if failures == "left out" else int((self.outcome != Outcome.UNDER_WAY).sum())
        if not total:
            return math.nan
        place = max(0, math.ceil(q / 100 * total * (1 - 1e-12)) - 1)
        return float(latencies[place]) if place < len(latencies) else math.inf

    @property
    def throughput(self) -> float:
        """Successful answers a second, from the start to the last answer or failure."""
        return self.num_ok / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def offered_rate(self) -> float:
        """Requests a second that were due, over the time in which they were."""
        if len(self) < 2:
            return math.nan
        span = float(self.scheduled_s[-1] - self.scheduled_s[0])
        return (len(self) - 1) / span if span > 0 else math.inf

    @property
    def sent_rate(self) -> float:
        """Requests a second that the generator started: less than ``offered_rate`` if it could not keep up."""
        if len(self) < 2:
            return math.nan
        span = float(self.started_s[-1] - self.scheduled_s[0])
        return (len(self) - 1) / span if span > 0 else math.inf

    @property
    def errors(self) -> dict[str, int]:
        """How many requests failed in which way; the most frequent first."""
        counts: Counter[str] = Counter()
        for outcome, number_of in zip(*np.unique(self.outcome, return_counts=True), strict=True):
            if outcome not in (Outcome.ANSWERED, Outcome.UNDER_WAY):
                counts[Outcome(outcome).words] = int(number_of)
        answered = self.status[(self.outcome == Outcome.ANSWERED) & ~self.is_ok]
        for status, number_of in zip(*np.unique(answered, return_counts=True), strict=True):
            counts[f"status {status}"] = int(number_of)
        return dict(counts.most_common())

    @property
    def error_fraction(self) -> float:
        """Failed requests of those that came to an end; NaN if none did."""
        ended = int((self.outcome != Outcome.UNDER_WAY).sum())
        return (ended - self.num_ok) / ended if ended else math.nan

    @property
    def generator_limit(self) -> str:
        """Why the generator was the bottleneck, in words; empty if it was not."""
        if not len(self):
            return ""
        late, usual = (float(np.quantile(self.lateness_s, q, method="higher")) for q in (0.99, 0.5))
        slowest = self.percentile(99, failures="left out") if self.num_ok else self.timeout_s
        if self.cpu_s > BUSY_SHARE * self.elapsed_s:
            return f"its process computed {self.cpu_s / self.elapsed_s:.0%} of the time: send fewer requests a second"
        if late > max(LATE_S, LATE_SHARE * slowest):
            return (
                f"1 % of its requests started more than {seconds(late)} late (the median is {seconds(usual)}): send "
                f"fewer a second, or leave it a core"
            )
        if self.num_waited:
            return f"{self.num_waited} requests waited for one of the connections it may have: allow more"
        return ""

    @property
    def is_generator_limited(self) -> bool:
        """Whether the numbers say more about the generator than about the server."""
        return bool(self.generator_limit)

    def under_way(self, at_s: np.ndarray) -> np.ndarray:
        """How many requests were under way at these times: due, and neither answered nor failed.

        A request that failed counts until its time limit, or until the end of the run if that is earlier.
        """
        given_up = np.minimum(self.scheduled_s + self.timeout_s, self.elapsed_s)
        ends = np.where(np.isnan(self.done_s), given_up, self.done_s)
        at_s = np.asarray(at_s, float)
        return np.searchsorted(np.sort(self.scheduled_s), at_s, "right") - np.searchsorted(np.sort(ends), at_s, "right")

    def summary(self) -> str:
        """The run in a few lines."""
        return summary(self)

    def save(self, path: str | Path) -> Path:
        """Write it as ``.npz``; :meth:`load` gives it back."""
        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        arrays = {name: getattr(self, name) for name in ARRAYS}
        with open(path, "wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps({"format": FORMAT} | plain)), **arrays)
        return path

    @classmethod
    def load(cls, path: str | Path) -> LoadResult:
        """Read what :meth:`save` wrote.

        Raises
        ------
        UsageError
            No such file, or another one.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                arrays = {name: stored[name].astype(kind) for name, kind in ARRAYS.items()}
            if about.pop("format") != FORMAT or len({len(array) for array in arrays.values()}) != 1:
                raise ValueError("another format")
            about["first_answers"] = {int(status): text for status, text in about["first_answers"].items()}
            return cls(**about, **arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(
                f"LoadResult.load: {path} is no result of a run ({error}): pass a file that save() wrote."
            ) from None
