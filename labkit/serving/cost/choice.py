"""The cheapest deployment that keeps a limit of tail latency, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from labkit.errors import UsageError
from labkit.serving.cost import checks
from labkit.serving.cost.dedicated import Fleet, simulate_dedicated
from labkit.serving.cost.run import DedicatedRun, Run, ServerlessRun
from labkit.serving.cost.serverless import Function, simulate_serverless


@dataclass(frozen=True, slots=True)
class TailLimit:
    """``q`` % of all requests are answered within ``limit_s``; a refused one is not.

    Examples
    --------
    >>> print(TailLimit(99, 0.2))
    p99 <= 200 ms
    """

    q: float
    limit_s: float

    def __post_init__(self):
        if not 0 < checks.number("q", self.q, advice="pass a percentage such as 99") < 100:
            raise UsageError(f"a percentile is above 0 and below 100, not {self.q!r}: pass for example 99.")
        checks.positive("limit_s", self.limit_s, advice="pass the seconds that are allowed")

    def __str__(self) -> str:
        return f"p{self.q:g} <= {1000 * self.limit_s:.4g} ms"


@dataclass(frozen=True, slots=True)
class Offer:
    """One deployment, simulated.

    Attributes
    ----------
    name : str
    usd : float
        A month.
    percentile_s : float
        Of the limit's q, over all requests; infinite if too many were refused.
    meets : bool
    reason : str
        A sentence: how it meets the limit, or what keeps it from that and what would help.
    run : Run
    """

    name: str
    usd: float
    percentile_s: float
    meets: bool
    reason: str
    run: Run = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """All deployments from the cheapest on.

    Attributes
    ----------
    limit : TailLimit
    offers : tuple of Offer
    """

    limit: TailLimit
    offers: tuple[Offer, ...]

    @property
    def best(self) -> Offer | None:
        """The cheapest that meets the limit; None if none does."""
        return next((offer for offer in self.offers if offer.meets), None)

    def __str__(self) -> str:
        lines = [f"{str(self.limit)}, {self.offers[0].run.requests_a_month:,.0f} requests a month"]
        for offer in self.offers:
            mark = "->" if offer is self.best else "  "
            tail = "never" if math.isinf(offer.percentile_s) else f"{1000 * offer.percentile_s:,.1f} ms"
            lines.append(f"{mark} {offer.usd:10,.2f} USD  p{self.limit.q:g} {tail:>12}  {offer.name}: {offer.reason}")
        return "\n".join(lines if self.best else [*lines, "None of them meets the limit."])


def choose(
    deployments: Mapping[str, Function | Fleet], times_s, limit: TailLimit, *, period_s: float | None = None,
    free_tier: bool = True, seed: int = 0, progress: Callable[[str], None] | None = None,
) -> Choice:  # fmt: skip
    """Simulate every deployment under the same requests, and take the cheapest that keeps the limit.

    Parameters
    ----------
    deployments : mapping of str to Function or Fleet
    times_s, period_s, seed, progress
        See :func:`labkit.serving.cost.serverless.simulate_serverless`.
    limit : TailLimit
    free_tier : bool

    Examples
    --------
    A request a minute: the cold starts are too many for a limit of p99, and not for one of p50.

    >>> offers = {"function": Function(0.05, cold_start=1.0, keep_alive_s=60), "server": Fleet("c5.large", 0.05)}
    >>> from labkit.serving.cost.times import Times
    >>> times = Times(60).arrivals(2000, seed=1)
    >>> choose(offers, times, TailLimit(99, 0.5)).best.name, choose(offers, times, TailLimit(50, 0.5)).best.name
    ('server', 'function')
    """
    if not isinstance(deployments, Mapping) or not deployments:
        raise UsageError(f"deployments are names with a Function or a Fleet each, not {deployments!r}: pass a dictionary of them.")
    offers = []
    for name, one in deployments.items():
        if isinstance(one, Function):
            run = simulate_serverless(times_s, one, period_s=period_s, seed=seed, progress=progress)
            usd = float(run.bill(free_tier=free_tier).exact_total)
        elif isinstance(one, Fleet):
            run = simulate_dedicated(times_s, one, period_s=period_s, seed=seed, progress=progress)
            usd = float(run.bill().exact_total)
        else:
            raise UsageError(f"a deployment is a Function or a Fleet, but {name!r} is {one!r}: pass one of these.")
        tail = _percentile(run, limit.q)
        meets = tail <= limit.limit_s
        words = _serverless_reason if isinstance(run, ServerlessRun) else _dedicated_reason
        reason = f"p{limit.q:g} is {_ms(tail)}" if meets else words(run, limit)
        offers.append(Offer(name, usd, tail, meets, reason, run))
    return Choice(limit, tuple(sorted(offers, key=lambda offer: offer.usd)))


def _percentile(run: Run, q: float) -> float:
    """Over all requests, refused ones as never answered."""
    share = q / 100 * run.num_requests / max(run.num_answered, 1)
    return run.percentile(100 * share) if share <= 1 + 1e-12 else math.inf


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.4g} ms" if seconds < 1 else f"{seconds:,.3g} s"


def _refused(run: Run, remedy: str) -> str:
    return f"{run.refused_fraction:.2%} of the requests are refused: {remedy}"


def _serverless_reason(run: ServerlessRun, limit: TailLimit) -> str:
    function, allowed = run.function, 1 - limit.q / 100
    if run.refused_fraction > allowed:
        return _refused(run, f"{run.most_busy} of {function.concurrency} environments were at work at once; raise the concurrency")
    warm = run.latency_s[~run.is_cold & ~np.isnan(run.latency_s)]
    if warm.size and float(np.mean(warm <= np.float32(limit.limit_s))) < 1 - allowed:
        return (
            f"even a warm request takes too long (p{limit.q:g} {_ms(float(np.percentile(warm, limit.q)))}): give it more memory, "
            "for processors come with it, or a smaller model"
        )
    return (
        f"{run.cold_fraction:.2%} of the requests meet a cold environment, whose start takes "
        f"{_ms(function.cold_start.mean_s)}, and {allowed:.2g} may be late: keep environments ready (provisioned), or "
        "make the start shorter"
    )


def _dedicated_reason(run: DedicatedRun, limit: TailLimit) -> str:
    fleet, allowed = run.fleet, 1 - limit.q / 100
    alone = fleet.batch_s(1) + fleet.overhead_s
    if alone > limit.limit_s:
        return f"a request alone takes {_ms(alone)}: take faster instances, or a smaller model"
    rate, capacity = run.num_requests / run.period_s, fleet.requests_per_s
    most = fleet.least_and_most[1]
    if rate >= most * capacity:
        return (
            f"{rate:,.4g} requests a second come, and {most} instance{'s' * (most > 1)} can answer {most * capacity:,.4g}: it takes at "
            f"least {math.floor(rate / capacity) + 1}"
        )
    if fleet.scaling:
        what = f"up to {run.most_waiting:,} requests wait while instances start for {fleet.scaling.start_up_s:g} s"
        what = f"{run.refused_fraction:.2%} are refused, and {what}" if run.refused_fraction > allowed else what
        return f"{what}: start with more (least), or aim at a lower utilisation than {fleet.scaling.target_utilisation:.0%}"
    if run.refused_fraction > allowed:
        return _refused(run, f"the queue of {fleet.max_queue} is full at the busiest times; take more than {most} instances")
    return (
        f"up to {run.most_waiting:,} requests wait at the busiest times, at a mean utilisation of {run.utilisation:.0%}: take more "
        f"instances than {most}, or larger batches than {fleet.max_batch}"
    )
