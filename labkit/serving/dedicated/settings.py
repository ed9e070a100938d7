"""What a dedicated server is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Real

from labkit.errors import UsageError
from labkit.serving.dedicated.batcher import check_limits
from labkit.serving.package.classifier import MAX_ROWS

MAX_BODY_BYTES = 6_291_456  # as a serverless function of AWS


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Limits of a server; every rule is checked when it is made.

    Attributes
    ----------
    num_workers : int
        Processes, 1 to 64. They share the port; each has a model, a queue and batches of its own.
    max_batch, max_wait_s, max_queue
        Of each worker: see :class:`.batcher.DynamicBatcher`. ``max_batch=1`` computes every row alone.
    max_rows : int
        Of one request; more than ``max_queue`` are never taken.
    max_body_bytes : int
        Of one request.
    body_timeout_s : float
        A request must have been sent within this time.
    timeout_s : float
        An answer that takes longer is 504, and a model that computes longer has its worker started again.
    drain_s : float
        When a worker is stopped it refuses new requests for this long with 503, before the port is closed to them.
    num_threads : int
        Threads of a product, in each worker. More workers are the usual way to more cores.
    """

    num_workers: int = 1
    max_batch: int = 32
    max_wait_s: float = 0.002
    max_queue: int = 256
    max_rows: int = MAX_ROWS
    max_body_bytes: int = MAX_BODY_BYTES
    body_timeout_s: float = 10.0
    timeout_s: float = 30.0
    drain_s: float = 0.3
    num_threads: int = 1

    def __post_init__(self):
        check_limits(self.max_batch, self.max_wait_s, self.max_queue)
        for name, least, most in (
            ("num_workers", 1, 64), ("max_rows", 1, 1 << 20), ("max_body_bytes", 100, 1 << 30), ("num_threads", 1, 1024)
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise UsageError(f"{name} is a whole number from {least} to {most}, not {value!r}: pass such a number.")
        for name, least, most in (("body_timeout_s", 0.01, 3600), ("timeout_s", 0.01, 3600), ("drain_s", 0, 60)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most:
                raise UsageError(f"{name} is a time from {least} to {most} seconds, not {value!r}: pass such a time.")

    @property
    def most_rows(self) -> int:
        """Of one request."""
        return min(self.max_rows, self.max_queue)

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)
