"""Rules side by side on simulated ranks: digits, workers that are slow or stall, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labkit.errors import UsageError
from labkit.training.parameter_server.delays import Delay
from labkit.training.parameter_server.report import ParameterServerReport

MOST_WORKERS = 32


def compare_rules(
    rules: Sequence[str] = ("bsp", "ssp,3", "async"), *, num_workers: int = 4, num_servers: int = 1, num_steps: int = 40,
    step_s: float = 0.01, jitter: float = 0.3, slow: float = 1.0, stall_s: float = 0.0, correction: str | None = None,
    momentum: float = 0.9, learning_rate: float = 0.1, batch_size: int = 64, seed: int = 0, progress: Callable[[str], None] = lambda text: None,
) -> list[ParameterServerReport]:
    """Train the same network on digits with several rules; time is virtual, the training real.

    Parameters
    ----------
    rules : sequence of str
    num_workers, num_servers, num_steps : int
        At most 32 workers.
    step_s : float
        Virtual time in which a worker computes a gradient, in s.
    jitter : float
        Each step of each worker takes longer by a random part: exponential, of this mean, in units of ``step_s``; the
        same for all rules.
    slow : float
        Worker 0 takes so many times as long, always.
    stall_s : float
        Worker 1 (0 if it is alone) once stalls for so long, in the middle.
    correction, momentum, learning_rate, batch_size, seed
        As for training.
    progress : callable
        Told which rule is running.

    Examples
    --------
    >>> bsp, free = compare_rules(("bsp", "async"), num_workers=3, num_steps=6, slow=3.0, jitter=0)
    >>> bool(bsp.moments_s[1:].max() > 2 * free.moments_s[1:].max()), set(bsp.stalenesses)
    (True, {0})
    """
    import numpy as np
    import torch

    from labkit.comm.simulated.run import simulate
    from labkit.training.data import load_digits
    from labkit.training.models.registry import make_model
    from labkit.training.options import TrainingOptions
    from labkit.training.parameter_server.train import train_with_servers

    if not 1 <= num_workers <= MOST_WORKERS:
        raise UsageError(f"compare_rules: {num_workers!r} workers: take 1 to {MOST_WORKERS}.")
    data = load_digits()
    options = TrainingOptions(
        num_steps=num_steps, batch_size=batch_size, momentum=momentum, learning_rate=learning_rate, seed=seed
    )
    rng = np.random.default_rng(seed)
    extra = rng.exponential(jitter, (num_workers, num_steps)) if jitter else np.zeros((num_workers, num_steps))
    delays = [
        Delay(worker, float(step_s * (slow if worker == 0 else 1.0) * (1 + extra[worker, step])), step)
        for worker in range(num_workers) for step in range(num_steps)
    ]
    if stall_s:
        delays.append(Delay(min(1, num_workers - 1), stall_s, num_steps // 2))
    reports = []
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers so small lose more by meeting than they gain
    try:
        for rule in rules:
            progress(f"{rule}: {num_workers} workers, {num_steps} steps ...")

            def program(comm, rule=rule):
                model = make_model("mlp", data, hidden=(32,), seed=seed)
                return train_with_servers(
                    comm, model, data, options, num_servers=num_servers, consistency=rule, delays=delays, correction=correction,
                    progress=False,
                )

            reports.append(simulate(num_servers + num_workers, program).results[0])
    finally:
        torch.set_num_threads(num_threads)
    return reports
