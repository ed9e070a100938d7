"""What a training with parameter servers has brought."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.shard_server import Applied

MOMENTS = ("began", "pulled", "computed", "pushed")


@dataclass(frozen=True, eq=False)
class ParameterServerReport:
    """The outcome, equal on all ranks.

    Attributes
    ----------
    consistency : str
    carrier : str
        ``messages``, ``windows`` or ``processes``.
    num_servers, num_workers : int
    options : TrainingOptions
    losses : ndarray (workers, steps)
        Of each worker's shards; NaN where it had none or did not come to it.
    moments_s : ndarray (workers, steps, 4)
        When each step began, had its weights, had computed its gradient, had pushed it; seconds from the start.
    missing : ndarray of int (workers, steps)
        Gradients of earlier steps that the weights did not contain when they were pulled.
    applied : tuple of Applied
        The updates of the first server in their order; empty for windows, where no server computes.
    stalenesses : tuple of int
        Of every update; see :class:`Applied`.
    accuracy, test_loss : float or None
    digest : str
        Of the final weights.
    sent_bytes : tuple of int
        By worker: gradients; the weights that it pulled are as many.
    events : tuple of str
        What happened: workers lost, servers replaced.
    seconds : float
        Of the whole run.
    """

    consistency: str
    carrier: str
    num_servers: int
    num_workers: int
    options: TrainingOptions
    losses: np.ndarray
    moments_s: np.ndarray
    missing: np.ndarray
    applied: tuple[Applied, ...]
    stalenesses: tuple[int, ...]
    accuracy: float | None
    test_loss: float | None
    digest: str
    sent_bytes: tuple[int, ...]
    events: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def waited_s(self) -> np.ndarray:
        """(workers,): time in pulls, most of it waiting for the rule or for a busy server."""
        return np.nansum(self.moments_s[:, :, 1] - self.moments_s[:, :, 0], axis=1)

    @property
    def computed_s(self) -> np.ndarray:
        """(workers,): time computing gradients, injected delays included."""
        return np.nansum(self.moments_s[:, :, 2] - self.moments_s[:, :, 1], axis=1)

    def staleness_counts(self) -> dict[int, int]:
        """How many updates had which staleness.

        Examples
        --------
        >>> import numpy as np
        >>> empty = np.zeros((1, 0))
        >>> report = ParameterServerReport("async", "messages", 1, 1, None, empty, np.zeros((1, 0, 4)), empty, (),
        ...                                (0, 2, 0), None, None, "", (0,))
        >>> report.staleness_counts()
        {0: 2, 2: 1}
        """
        return dict(sorted(Counter(self.stalenesses).items()))

    def mean_losses(self) -> np.ndarray:
        """(steps,): of all workers that had samples."""
        known = np.isfinite(self.losses)
        return np.where(known, self.losses, 0).sum(0) / np.maximum(1, known.sum(0))

    def __str__(self) -> str:
        losses = self.mean_losses()
        counts = self.staleness_counts()
        updates = sum(counts.values())
        mean = sum(staleness * count for staleness, count in counts.items()) / max(1, updates)
        lines = [
            f"{self.consistency}, {self.num_workers} workers and {self.num_servers} servers, {self.carrier}: "
            f"{self.losses.shape[1]} steps of {self.options.batch_size} samples in {self.seconds:.2f} s"
        ]
        if losses.size:
            lines.append(f"  loss           {losses[0]:.4f} at first, {losses[-1]:.4f} at last")
        if self.accuracy is not None:
            lines.append(f"  accuracy       {100 * self.accuracy:.1f} % of the test part")
        lines.append(f"  staleness      {mean:.2f} gradients on average, {max(counts, default=0)} at most, {updates} updates")
        lines.append(f"  waited         {', '.join(f'{1e3 * s:.0f} ms' for s in self.waited_s)} by worker")
        lines.extend(f"  {event}" for event in self.events)
        return "\n".join(lines)
