"""The end of a run: the model on the test part, and what all ranks know, put together into one report."""

from __future__ import annotations

import contextlib

import torch

from labkit.training.agreement import all_or_none, weights_digest
from labkit.training.losses import num_correct
from labkit.training.memory import MemoryUse
from labkit.training.recording import Traffic, is_simulated
from labkit.training.report import TrainingReport
from labkit.training.sampling import shard_ends
from labkit.training.timing import RankSpans, make_timeline, step_times

BATCH = 256
SHORT = (torch.float16, torch.bfloat16)


def evaluate(trainer) -> tuple[float | None, float | None]:
    """Mean loss, and share of right answers, on the test part. Collective; each rank takes a part of it."""
    comm, num_samples = trainer.comm, len(trainer.data.test_inputs)
    if not num_samples:
        return None, None
    trainer.model.eval()
    try:
        # Simulated ranks share this switch of the thread, and a strategy may communicate in forward.
        with contextlib.nullcontext() if is_simulated(comm) else torch.no_grad():
            sums = all_or_none(comm, lambda: _sums_of_part(trainer, num_samples))
    finally:
        trainer.model.train()
    totals = [sum(column) for column in zip(*comm.allgather(sums), strict=True)]
    return totals[0] / num_samples, totals[1] / totals[2] if totals[2] else None


def _sums_of_part(trainer, num_samples: int) -> tuple[float, int, int]:
    """Of this rank's part: the sum of losses, right answers, answers. All ranks make as many forward passes."""
    data, comm = trainer.data, trainer.comm
    ends = shard_ends(num_samples, comm.size)
    longest = max(end - start for start, end in zip(ends[:-1], ends[1:], strict=True))
    start, end = ends[comm.rank], ends[comm.rank + 1]
    loss, num_right, num_answers = 0.0, 0, 0
    for offset in range(0, longest, BATCH):
        part = slice(min(start + offset, end), min(start + offset + BATCH, end))
        inputs, targets = data.test_inputs[part], data.test_targets[part].to(trainer.device)
        inputs = (inputs.to(trainer.dtype) if inputs.is_floating_point() else inputs).to(trainer.device)
        with trainer.precision.cast(trainer.device):
            outputs = trainer.strategy.module(inputs).detach()
        outputs = outputs.float() if outputs.dtype in SHORT else outputs
        loss += float(trainer.loss(outputs, targets).sum())
        right, count = num_correct(outputs, targets)
        num_right, num_answers = num_right + right, num_answers + count
    return loss, num_right, num_answers


def make_report(trainer, first_step: int, seconds: float, peak_bytes: int | None) -> TrainingReport:
    """The report of a run. Collective; equal on all ranks."""
    comm, strategy, records = trainer.comm, trainer.strategy, trainer.records
    memory = strategy.memory()
    kinds = [memory[kind] for kind in ("parameters", "gradients", "optimizer", "buffers")]
    use = MemoryUse(*kinds, sum(kinds) if peak_bytes is None else peak_bytes)
    test_loss, accuracy = evaluate(trainer)
    find_digest = getattr(strategy, "weights_digest", None)
    digest = weights_digest(trainer.model) if find_digest is None else find_digest()
    unused = tuple(getattr(strategy, "unused", ()))
    spans = RankSpans.of(trainer.recorder, _clock_offset_ns(comm))
    traffic = strategy.traffic() + (strategy.in_pass.traffic if strategy.in_pass is not None else Traffic())
    everyone = comm.allgather((spans, traffic, use, digest, unused, seconds))
    spans, traffic, memory, digests, unused, seconds = zip(*everyone, strict=True)
    return TrainingReport(
        strategy=strategy.name, num_ranks=comm.size, options=trainer.options, first_step=first_step,
        losses=tuple(record.loss for record in records),
        learning_rates=tuple(record.learning_rate for record in records),
        gradient_norms=tuple(record.gradient_norm for record in records),
        accuracy=accuracy, test_loss=test_loss, times=step_times(spans), traffic=traffic, memory=memory, digests=digests,
        unused=tuple(name for name in unused[0] if all(name in names for names in unused)),
        timeline=make_timeline(spans) if trainer.keeps_timeline else None, seconds=max(seconds),
    )


def _clock_offset_ns(comm) -> int:
    """What to add to this rank's clock to get rank 0's."""
    if is_simulated(comm) or comm.size == 1:
        return 0
    from labkit.comm.interruptible.clock import clock_offset_ns

    return clock_offset_ns(comm)
