"""A request on its way through the service, and what AWS answers when something went wrong."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from labkit.serving.serverless.records import InvocationRecord

# What the steady clock must be given to become seconds since the epoch.
EPOCH_OFFSET_NS = time.time_ns() - time.monotonic_ns()


def epoch_s(monotonic_ns: int) -> float:
    return (monotonic_ns + EPOCH_OFFSET_NS) / 1e9


@dataclass(slots=True)
class Result:
    """How a call ended. `body` is what the handler returned, or AWS's description of the error."""

    outcome: str
    body: bytes
    record: InvocationRecord

    @property
    def is_answer(self) -> bool:
        return self.outcome == "ok"


def _trace_id() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


@dataclass(slots=True)
class Call:
    """One accepted request; `done` is called once with its :class:`Result`, whatever happens."""

    event: bytes
    done: Callable[[Result], None]
    client_context: str | None = None
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_id: str = field(default_factory=_trace_id)
    arrived_ns: int = field(default_factory=time.monotonic_ns)
    started_ns: int = 0  # 0: no environment has got it
    num_attempts: int = 0
    is_cold: bool = False


def error_body(kind: str, message: str, request_id: str | None = None) -> bytes:
    """An error of the platform, in the words of AWS."""
    if request_id is not None:
        message = f"RequestId: {request_id} Error: {message}"
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()
