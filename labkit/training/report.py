"""What a training run has brought: a value that all ranks hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from labkit.trace.timeline import Timeline
from labkit.training.memory import MemoryUse
from labkit.training.options import TrainingOptions
from labkit.training.recording import Traffic
from labkit.training.timing import StepTimes


@dataclass(frozen=True, eq=False)
class TrainingReport:
    """The outcome of a run.

    Attributes
    ----------
    strategy : str
    num_ranks : int
    options : TrainingOptions
    first_step : int
        Other than 0 for a run that went on from a checkpoint.
    losses : tuple of float
        Of each step's whole batch.
    learning_rates : tuple of float
    gradient_norms : tuple of float or None
    accuracy : float or None
        Share of right answers on the test part; None if the targets are values, or there is no test part.
    test_loss : float or None
    times : StepTimes
    traffic : tuple of Traffic
        By rank: calls, messages, bytes sent for gradients and parameters.
    memory : tuple of MemoryUse
        By rank.
    digests : tuple of str
        By rank: of all weights and buffers; equal texts mean equal bits.
    unused : tuple of str
        Parameters that the loss did not depend on in the first step.
    timeline : Timeline or None
    seconds : float
        Of the whole run.
    details : object, optional
        What the strategy measures besides: of a pipeline a :class:`labkit.training.pipeline.measured.PipelineRun`.
    """

    strategy: str
    num_ranks: int
    options: TrainingOptions
    first_step: int
    losses: tuple[float, ...]
    learning_rates: tuple[float, ...]
    gradient_norms: tuple[float | None, ...]
    accuracy: float | None
    test_loss: float | None
    times: StepTimes
    traffic: tuple[Traffic, ...]
    memory: tuple[MemoryUse, ...]
    digests: tuple[str, ...]
    unused: tuple[str, ...] = ()
    timeline: Timeline | None = field(default=None, repr=False)
    seconds: float = 0.0
    details: object = field(default=None, repr=False)

    @property
    def num_steps(self) -> int:
        """How many steps this run made."""
        return len(self.losses)

    @property
    def sent_bytes(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(traffic.sent_bytes for traffic in self.traffic)

    @property
    def num_messages(self) -> tuple[int, ...]:
        """By rank."""
        return tuple(traffic.num_messages for traffic in self.traffic)

    @property
    def peak_bytes(self) -> tuple[int, ...]:
        """Peak memory by rank."""
        return tuple(use.peak_bytes for use in self.memory)

    @property
    def replicas_are_equal(self) -> bool:
        """Whether all ranks ended with the same bits."""
        return len(set(self.digests)) == 1

    def __str__(self) -> str:
        median = self.times.median()
        ranks = f"{self.num_ranks} rank{'' if self.num_ranks == 1 else 's'}"
        lines = [
            f"{self.strategy} on {ranks}: {self.num_steps} steps of {self.options.batch_size} samples in "
            f"{self.seconds:.2f} s"
        ]
        if self.losses:
            lines.append(f"  loss           {self.losses[0]:.4f} at first, {self.losses[-1]:.4f} at last")
        if self.accuracy is not None:
            lines.append(f"  accuracy       {100 * self.accuracy:.1f} % of the test part")
        lines.append(
            f"  step           {_ms(median['step_s'])} = compute {_ms(median['compute_s'])} + communication "
            f"{_ms(median['communication_s'])} - overlap {_ms(median['overlap_s'])} + idle "
            f"{_ms(median['idle_s'])} (medians)"
        )
        lines.append(
            f"  sent           {_by_rank([_bytes(size) for size in self.sent_bytes])}, messages "
            f"{_by_rank(self.num_messages)}"
        )
        lines.append(f"  peak memory    {_by_rank([_bytes(size) for size in self.peak_bytes])}")
        if self.unused:
            lines.append(f"  never used     {', '.join(self.unused)}")
        if not self.replicas_are_equal:
            lines.append("  the ranks ended with different weights")
        return "\n".join(lines)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"


def _by_rank(values) -> str:
    """One text if all are equal."""
    texts = [str(value) for value in values]
    return f"{texts[0]} a rank" if len(set(texts)) == 1 else ", ".join(texts[:8]) + (", ..." if len(texts) > 8 else "")
