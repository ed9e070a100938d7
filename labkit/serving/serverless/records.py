"""What is known of a call and of an environment, as values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True)
class InvocationRecord:
    """One request, as the service saw it. Times are seconds since the epoch, from one steady clock.

    Attributes
    ----------
    request_id : str
    environment : int or None
        Number of the environment that ran it, from 1; None if none did.
    is_cold : bool
        It had to wait for an environment to start.
    arrived_s, started_s, ended_s : float
        The request was complete; an environment got it; the answer was there. Without an environment all three are
        equal.
    phases_s : dict of str to float
        Of a cold start: ``process`` (a Python process with AWS's client in it), ``imports`` (the handler's file and
        what it imports, without the model), ``model`` (calls of ``model_loaders``), ``first_call`` (the first call,
        without a model that it loads). Empty for a warm call. They add up to the time from the start of the process to
        the first answer.
    init_ms : float
        The first three of them; 0 for a warm call.
    duration_ms : float
        From `started_s` to `ended_s`.
    billed_ms : int
        Duration, and since August 2025 also the initialisation, rounded up to whole milliseconds.
    max_memory_mb : float
        The most that the environment has held so far.
    outcome : str
        ``ok``, ``error`` (the handler raised), ``timeout``, ``exit`` (the process ended itself), ``out of memory``,
        ``killed`` (from outside, twice), ``init error``, ``init timeout``, ``response too large``, ``throttled`` (429)
        or ``draining`` (503).
    num_attempts : int
        2 if the first environment was killed from outside; 0 if none got it.
    """

    request_id: str
    environment: int | None
    is_cold: bool
    arrived_s: float
    started_s: float
    ended_s: float
    phases_s: dict[str, float]
    init_ms: float
    duration_ms: float
    billed_ms: int
    max_memory_mb: float
    outcome: str
    num_attempts: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class EnvironmentInfo:
    """One environment. `state` is ``starting``, ``idle``, ``busy`` or ``ended``; ``why_ended`` says why, then.

    `phases_s` has the phases known so far, also of an environment that was started ahead.
    """

    number: int
    pid: int
    state: str
    is_provisioned: bool
    num_calls: int
    started_s: float
    ended_s: float | None
    max_memory_mb: float
    log_stream: str
    phases_s: dict[str, float] = field(default_factory=dict)
    why_ended: str = ""


@dataclass(frozen=True)
class Invocation:
    """The answer to :meth:`LocalLambda.invoke`, with AWS's fields.

    Attributes
    ----------
    status_code : int
        200 if the function was called, even if it failed; 400, 413, 429 and 503 if it was not.
    body : bytes
        The answer as it came.
    function_error : str or None
        ``"Unhandled"`` if the handler raised, died or ran out of its limits; `payload` then has ``errorType`` and
        ``errorMessage``.
    record : InvocationRecord or None
        None only if nothing was called.
    """

    status_code: int
    body: bytes
    function_error: str | None
    record: InvocationRecord | None

    @cached_property
    def payload(self) -> object:
        """The answer, decoded from JSON; bytes if it is no JSON (a handler may return bytes)."""
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body
