"""Threaded softmax against torch's with as many threads; cross-entropy on two ranks against one; Triton on a GPU.

Both sides of a comparison have the same logits and write to an array made before, but for the rows that say
``torch.softmax(x)``: there torch makes the array of its result, as callers do. Speeds of softmax are in GB/s of logits
and results together, as those of a copy are. Where there is a GPU, rows for it follow.
"""

import functools
import json
from pathlib import Path

import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.hardware.messages import run_mpi
from labkit.hardware.timing import Comparison, Contention, compare
from labkit.openmp.team import Team
from labkit.softmax.threaded import softmax_threaded

NUM_THREADS = 2
SHAPES = ((4096, 256), (4096, 1024), (512, 32768), (64, 262144))
WIDE = 32768
LEAST_ERROR_AT, MOST_ULP = 1e-30, 2
VOCABULARY, NUM_ROWS = 131072, 128
ROUNDS_OF_RANKS, LEAST_CLEAN = 40, 10  # a twentieth of a second each
GPU_ELEMENTS = 2**28
GPU_COLUMNS = (4096, 8192, 16384, 32768, 65536, 131072, 262144)
GPU_ROWS = 4096  # of cross-entropy
ROUNDS = 15
LEAST_BYTES = 2**30  # of logits in all rounds of a shape: the first milliseconds of two threads are slow


def rates(num_bytes, comparison):
    """Times as GB/s: more is better."""
    ours, other = (tuple(num_bytes / t / 1e9 for t in row) for row in (comparison.ours, comparison.other))
    return Comparison(ours, other, comparison.busy)


def worst_ulp(y, x):
    """The largest error of results above 1e-30, against float64, row by row."""
    worst = 0.0
    for found, logits in zip(y, x, strict=True):
        e = np.exp(logits.astype(np.float64) - float(logits.max()))
        p = e / e.sum()
        errors = np.abs(found - p) / np.spacing(p.astype(np.float32))
        worst = max(worst, errors[p > LEAST_ERROR_AT].max(initial=0))
    return worst


def threads(shape):
    """The rows of one shape."""
    import torch

    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    outs = torch.zeros(3, *shape)
    a, b = x.numpy(), outs[0].numpy()
    team = Team(NUM_THREADS)
    calls = {
        "torch.softmax(x)": lambda: torch.softmax(x, 1),
        "torch with out": lambda: torch.softmax(x, 1, out=outs[1]),
        "copy_": lambda: outs[2].copy_(x),
    }

    def ours():
        softmax_threaded(a, out=b, team=team)

    def check():
        ours()
        error = worst_ulp(b, a)
        assert error <= MOST_ULP, f"an error of {error:.2f} ulp"

    def measure(name):
        before = torch.get_num_threads()
        torch.set_num_threads(NUM_THREADS)
        try:
            return rates(2 * x.nbytes, compare(ours, calls[name], rounds=max(ROUNDS, LEAST_BYTES // x.nbytes)))
        finally:
            torch.set_num_threads(before)

    least = {"torch.softmax(x)": 3, "torch with out": 1.1, "copy_": 0.55}
    for name in calls:
        if name != "torch.softmax(x)" or shape[1] >= WIDE:
            text = f"softmax {shape[0]} x {shape[1]}, {name}"
            yield Benchmark(text, Goal(">=", least[name]), functools.partial(measure, name), check, unit="GB/s")


@functools.cache
def ranks_measured():
    """Times of a step by name, and whether others used the machine."""
    with Contention() as contention:
        arguments = [str(Path(__file__).with_name("_softmax.py")), str(NUM_ROWS), str(VOCABULARY), str(ROUNDS_OF_RANKS)]
        output = run_mpi(arguments, 2, 200)
    return json.loads(output.splitlines()[-1]), contention.busy


def over_ranks(other):
    """Steps a second of two ranks, and of what they are compared with, in rounds that had two cores."""
    rounds, busy = ranks_measured()
    clean = [found for found in rounds if found["clean"]]
    if len(clean) < LEAST_CLEAN:  # the machine has not shown two cores: any verdict would be about it
        clean, busy = rounds, True
    return Comparison(*(tuple(1 / found[name] for found in clean) for name in ("ranks", other)), busy)


def gpu_seconds(call, repeats):
    """Seconds of a call on the GPU, of several in a row."""
    import torch

    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    for _ in range(repeats):
        call()
    last.record()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / repeats


def gpu_compare(ours, other, repeats=5):
    """In turn, as :func:`labkit.hardware.timing.compare` does it on the CPU."""
    for call in (ours, other):
        gpu_seconds(call, repeats)
    pairs = [(gpu_seconds(ours, repeats), gpu_seconds(other, repeats)) for _ in range(ROUNDS)]
    return Comparison(*(tuple(row) for row in zip(*pairs, strict=True)))


def gpu_softmax(num_columns, device="cuda", num_elements=GPU_ELEMENTS):
    """Softmax of as many bytes as the copy; more than the GPU's caches hold."""
    import torch

    from labkit.softmax.gpu import softmax_tensor

    @functools.cache
    def arrays():
        x = torch.randn(num_elements // num_columns, num_columns, device=device)
        return x, torch.empty_like(x)

    def check():
        x, out = arrays()
        softmax_tensor(x, out=out)
        wanted = torch.softmax(x[:64].double(), 1)
        error = ((out[:64].double() - wanted).abs() / wanted).max().item()
        assert error < 2e-6, f"a relative error of {error:.1e}"

    def measure():
        x, out = arrays()
        found = gpu_compare(lambda: softmax_tensor(x, out=out), lambda: out.copy_(x))
        arrays.cache_clear()
        return rates(2 * x.nbytes, found)

    least = 0.9 if num_columns <= 32768 else 0.85
    return Benchmark(f"Triton softmax, C = {num_columns}, copy", Goal(">=", least), measure, check, unit="GB/s")


def gpu_cross_entropy(device="cuda", num_rows=GPU_ROWS, num_columns=VOCABULARY):
    """The loss and its gradient: fused, the gradient in the place of the logits, and by torch's operations."""
    import torch

    from labkit.softmax.gpu import cross_entropy_tensor, cross_entropy_tensor_backward

    @functools.cache
    def arrays():
        x = torch.randn(num_rows, num_columns, device=device)
        targets = torch.randint(num_columns, (num_rows,), device=device)
        return x, targets, torch.full((num_rows,), 1 / num_rows, device=device)

    def fused(x, targets, gradient):
        losses, log_sums = cross_entropy_tensor(x, targets)
        cross_entropy_tensor_backward(x, targets, log_sums, gradient, out=x)
        return losses.mean()

    def eager(x, targets, gradient):
        x = x.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(x, targets)
        loss.backward()
        return loss, x.grad

    def check():
        x, targets, gradient = arrays()
        loss, wanted = eager(x, targets, gradient)
        found = x.clone()
        assert torch.allclose(fused(found, targets, gradient), loss, rtol=1e-5), "losses differ"
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-9), "gradients differ"

    def measure():
        a, b = arrays(), (arrays()[0].clone(), *arrays()[1:])
        found = gpu_compare(lambda: fused(*a), lambda: eager(*b))
        arrays.cache_clear()
        return Comparison(*(tuple(1 / t for t in row) for row in (found.ours, found.other)))

    def memory():
        """Bytes beside the logits at the highest point."""
        peaks = []
        for call in (fused, eager):
            arrays.cache_clear()
            values = arrays()
            torch.cuda.synchronize()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            call(*values)
            torch.cuda.synchronize()
            peaks.append((torch.cuda.max_memory_allocated() - before) / 2**20)
            del values
        arrays.cache_clear()
        return Comparison((peaks[0],), (peaks[1],))

    yield Benchmark("fused cross-entropy, V = 131072, eager torch", Goal(">=", 2), measure, check, unit="1/s")
    yield Benchmark("its memory beside the logits", Goal("<=", 0.2), memory, check, unit="MiB")


def benchmarks():
    import torch

    for shape in SHAPES:
        yield from threads(shape)
    # What two cores can do at most is that of two ranks that need not wait for each other.
    for name, other, least in (("2 ranks and 1", "one", 1.7), ("2 ranks with messages and without", "apart", 0.95)):
        measure = functools.partial(over_ranks, other)
        yield Benchmark(f"cross-entropy, V = 131072, {name}", Goal(">=", least), measure, unit="1/s")
    if torch.cuda.is_available():
        for num_columns in GPU_COLUMNS:
            yield gpu_softmax(num_columns)
        yield from gpu_cross_entropy()
