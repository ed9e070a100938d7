"""Checkpoints of 100 MB against torch.save and torch.load of the same tensors, in one process, in turn.

Ours are on the disk when ``save_checkpoint`` returns (fsync), carry checksums, and are never half there; a plain
``torch.save`` leaves the bytes to the system. The row against ``torch.save`` with fsync compares like with like.
"""

import functools
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import torch

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention, compare, seconds_of
from labkit.training.checkpoint import CheckpointWriter, load_checkpoint, save_checkpoint

NUM_TENSORS, ELEMENTS = 25, 1_000_000  # 100 MB of float32
ROUNDS = 11


def state():
    generator = torch.Generator().manual_seed(1)
    return {f"layer{k}.weight": torch.randn(ELEMENTS, generator=generator) for k in range(NUM_TENSORS)}


def speeds(ours, other):
    """Runs a second: more is better."""
    times = compare(ours, other, rounds=ROUNDS)
    return Comparison(tuple(1 / t for t in times.ours), tuple(1 / t for t in times.other), times.busy)


def pauses(folder, tensors):
    """How long the asynchronous ``save`` keeps the training waiting, and how long a copy to memory takes."""
    times = [], []
    with CheckpointWriter(folder, keep=1) as writer, Contention() as contention:
        for step in range(ROUNDS + 2):
            ours = seconds_of(lambda step=step: writer.save(step, tensors))
            writer.wait()
            other = seconds_of(lambda: {name: tensor.clone() for name, tensor in tensors.items()})
            if step >= 2:  # both copies of the writer have their memory
                times[0].append(ours)
                times[1].append(other)
    return Comparison(tuple(times[0]), tuple(times[1]), contention.busy)


def check(folder, plain, tensors):
    save_checkpoint(folder, 1, tensors)
    torch.save(tensors, plain)
    loaded, other = load_checkpoint(folder).state, torch.load(plain, weights_only=True)
    assert all(torch.equal(loaded[name], tensor) and torch.equal(other[name], tensor) for name, tensor in tensors.items())


def benchmarks():
    torch.set_num_threads(1)
    base = Path(tempfile.mkdtemp(prefix="labkit-bench-"))
    try:
        tensors, plain, folder = state(), base / "plain.pt", base / "ours"
        steps = itertools.count(2)

        def write():
            save_checkpoint(folder, next(steps), tensors, keep=1)

        def with_fsync():
            with open(plain, "wb") as file:
                torch.save(tensors, file)
                file.flush()
                os.fsync(file.fileno())

        checked = functools.partial(check, folder, plain, tensors)
        yield Benchmark(
            "write, and torch.save", Goal(">=", 0.8), lambda: speeds(write, lambda: torch.save(tensors, plain)), checked, "1/s"
        )
        yield Benchmark("write, and torch.save with fsync", Goal(">=", 0.8), lambda: speeds(write, with_fsync), unit="1/s")
        yield Benchmark(
            "read, and torch.load", Goal(">=", 0.8),
            lambda: speeds(lambda: load_checkpoint(folder), lambda: torch.load(plain, weights_only=True)), checked, "1/s",
        )
        yield Benchmark("pause of training, and a copy to memory", Goal("<=", 1.0), lambda: pauses(base / "run", tensors))
    finally:
        shutil.rmtree(base, ignore_errors=True)
