"""The end of a run: what all ranks know, put together into one report."""

from __future__ import annotations

from labkit.training.agreement import weights_digest
from labkit.training.memory import MemoryUse
from labkit.training.recording import Traffic, is_simulated
from labkit.training.report import TrainingReport
from labkit.training.timing import RankSpans, make_timeline, step_times


def make_report(trainer, first_step: int, seconds: float, peak_bytes: int | None) -> TrainingReport:
    """The report of a run. Collective; equal on all ranks."""
    comm, strategy, records = trainer.comm, trainer.strategy, trainer.records
    memory = strategy.memory()
    kinds = [memory[kind] for kind in ("parameters", "gradients", "optimizer", "buffers")]
    use = MemoryUse(*kinds, sum(kinds) if peak_bytes is None else peak_bytes)
    traffic = strategy.traffic() + (Traffic() if strategy.in_pass is None else strategy.in_pass.traffic)
    test_loss, accuracy = trainer.evaluate()  # may communicate as well
    find_digest = getattr(strategy, "weights_digest", None)
    digest = weights_digest(trainer.model) if find_digest is None else find_digest()
    unused = tuple(getattr(strategy, "unused", ()))
    find_details = getattr(strategy, "details", None)
    details = None if find_details is None else find_details()
    spans = RankSpans.of(trainer.recorder, _clock_offset_ns(comm))
    everyone = comm.allgather((spans, traffic, use, digest, unused, seconds))
    spans, traffic, memory, digests, unused, seconds = zip(*everyone, strict=True)
    return TrainingReport(
        strategy=strategy.name, num_ranks=comm.size, options=trainer.options, first_step=first_step,
        losses=tuple(record.loss for record in records),
        learning_rates=tuple(record.learning_rate for record in records),
        gradient_norms=tuple(record.gradient_norm for record in records),
        accuracy=accuracy, test_loss=test_loss, times=step_times(spans), traffic=traffic, memory=memory, digests=digests,
        unused=tuple(name for name in unused[0] if all(name in names for names in unused)),
        timeline=make_timeline(spans) if trainer.keeps_timeline else None, seconds=max(seconds), details=details,
    )


def _clock_offset_ns(comm) -> int:
    """What to add to this rank's clock to get rank 0's."""
    if is_simulated(comm) or comm.size == 1:
        return 0
    from labkit.comm.interruptible.clock import clock_offset_ns

    return clock_offset_ns(comm)
