"""A training step of two ranks with one thread each: ours against torch's DDP over Gloo and against no communication.

All run in one launch, in turn, on one model and the same data; nobody looks whether gradients are finite, as DDP does
not. With an injected delay of the link, which takes no core, it counts how much of the delay the step hides. Where there is
a GPU, the two ranks share it in a launch of its own.
"""

import functools
import json
from pathlib import Path

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention

MODELS = ((1280, 8, 512), (1024, 20, 512))  # width, hidden layers, samples: gradients of 52 and 84 MB
NUM_TURNS, NUM_STEPS = 5, 3
GPU_TOLERANCE = 1e-2  # products of a GPU add in another order from call to call
TOLERANCE = 1e-4  # of how far the weights have moved: additions in another order


@functools.cache
def run(model, device="cpu"):
    """What the ranks have measured, and whether others used the machine."""
    with Contention() as contention:
        program = str(Path(__file__).with_name("_training.py"))
        output = run_mpi([program, *map(str, (*model, NUM_TURNS, NUM_STEPS, device))], 2, 200)
    return json.loads(output.splitlines()[-1]), contention.busy


def check(model, device="cpu"):
    found, _ = run(model, device)
    assert 25e6 <= found["gradient_bytes"] <= 100e6, f"{found['gradient_bytes']} bytes of gradients"
    tolerance = TOLERANCE if device == "cpu" else GPU_TOLERANCE
    for name in ("ours", "delayed") if device == "cpu" else ("ours",):
        assert found["differences"][name] <= tolerance, f"weights differ from DDP's by {found['differences'][name]:.1e}"
        assert found["equal"][name], f"the ranks of {name} differ"
    assert found["differences"]["alone"] > TOLERANCE, "without communication the weights are the same"


def rates(model, other):
    """Steps a second."""
    found, busy = run(model)
    samples = found["samples"]
    return Comparison(*(tuple(1 / t for t in samples[name]) for name in ("ours", other)), busy)


def times(model, other, device="cpu"):
    found, busy = run(model, device)
    return Comparison(tuple(found["samples"]["ours"]), tuple(found["samples"][other]), busy)


def hidden(model):
    """Seconds of the delay that a step does not show, and the whole delay."""
    found, busy = run(model)
    ours, delayed, whole = found["samples"]["ours"], found["samples"]["delayed"], found["delay_s"]
    return Comparison(
        tuple(whole - (late - plain) for late, plain in zip(delayed, ours, strict=True)), (whole,) * len(ours), busy
    )


def benchmarks():
    for model in MODELS:
        width, num_layers, _ = model
        text = f"{4e-6 * (num_layers * width * (width + 1) + 10 * (width + 1)):.0f} MB"
        checked = functools.partial(check, model)
        yield Benchmark(
            f"step, {text}, torch DDP over Gloo", Goal(">=", 1.15), functools.partial(rates, model, "torch"), checked,
            unit="1/s",
        )
        without = functools.partial(times, model, "alone")
        yield Benchmark(f"step, {text}, no communication", Goal("<=", 1.08), without, checked)
        delay = functools.partial(hidden, model)
        yield Benchmark(f"hidden of an injected delay, {text}", Goal(">=", 0.85), delay, checked)
    if has_gpu():
        model = MODELS[0]
        yield Benchmark(
            "step, 52 MB, two ranks on one GPU, torch DDP over Gloo", Goal("<=", 1.02),
            functools.partial(times, model, "torch", "cuda"), functools.partial(check, model, "cuda"),
        )


def has_gpu():
    import torch

    return torch.cuda.is_available()
