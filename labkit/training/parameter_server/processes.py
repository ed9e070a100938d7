"""Training with servers and workers that are processes of this machine, of which any may die."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from labkit.errors import NonFiniteError, TrainingError, UsageError
from labkit.training.agreement import weights_digest
from labkit.training.data import DataSet
from labkit.training.evaluation import evaluate
from labkit.training.losses import sample_losses
from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.consistency import Consistency
from labkit.training.parameter_server.delays import Delay
from labkit.training.parameter_server.optimizer import checked_correction
from labkit.training.parameter_server.process_main import ServerJob, WorkerJob
from labkit.training.parameter_server.process_world import World
from labkit.training.parameter_server.report import ParameterServerReport
from labkit.training.parameter_server.shards import shard_bounds
from labkit.training.parameter_server.worker import FlatModel
from labkit.training.serial import Alone

MOST_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class Kill:
    """A process ends itself with SIGKILL, as if the machine under it had gone.

    Attributes
    ----------
    role : str
        ``"worker"``, ``"server"`` or ``"replica"``.
    number : int
        From 0.
    step : int
        A worker: after it has computed the gradient of this step, before it pushes it. A server: when the slowest worker
        has pushed so many steps.
    """

    role: str
    number: int
    step: int

    def __post_init__(self):
        if self.role not in ("worker", "server", "replica") or self.number < 0 or self.step < 0:
            raise UsageError(
                f"Kill: {self.role!r} {self.number!r} at step {self.step!r}: the role is 'worker', 'server' or 'replica', "
                f"number and step are whole numbers from 0."
            )


def train_on_processes(
    model: nn.Module, data: DataSet, options: TrainingOptions | None = None, *, num_workers: int = 2, num_servers: int = 1,
    consistency: str | Consistency = "bsp", with_replicas: bool = False, checkpoint_every: int | None = None,
    kills: Sequence[Kill] = (), delays: Sequence[Delay] = (), correction: str | None = None,
    loss: Callable = sample_losses, progress=None, patience_s: float = 10.0,
) -> ParameterServerReport:
    """Train with servers and workers in processes of their own, on this machine.

    A worker that dies stops nobody: the rule forgets it, and the others' shares of the batch grow. A server that dies is
    replaced by its replica, which has seen everything it has answered, or started again from its last checkpoint.

    Parameters
    ----------
    model : torch.nn.Module
        float32, on the CPU, of a class that can be imported; holds the trained weights afterwards.
    data, options, num_servers, consistency, delays, correction, loss, progress
        As for :func:`labkit.training.parameter_server.train.train_with_servers`; ``loss`` must be a function that can
        be imported.
    num_workers : int
    with_replicas : bool
        A second process for each server.
    checkpoint_every : int, optional
        A server saves its state each time the slowest worker has pushed so many steps more.
    kills : sequence of Kill
        Faults to inject.
    patience_s : float
        How long workers look for a server that is gone, and how long a server waits for workers that do not call.

    Returns
    -------
    ParameterServerReport
        ``events`` says who died and what was done.

    Raises
    ------
    UsageError
        Numbers that do not fit, a model that cannot be sent to other processes; nothing was run.
    TrainingError
        A server died and nothing could replace it, all workers died, or a worker met a loss that is NaN.
    """
    options = options or TrainingOptions()
    rule = _checked(data, options, num_workers, num_servers, consistency, correction, kills, delays)
    if rule.bound == 0:
        correction = None  # nothing is stale
    started = time.monotonic()
    flat = FlatModel(model)
    initial = flat.weights.copy()
    flat.release()
    bounds = shard_bounds(initial.size, num_servers)
    folder = Path(tempfile.mkdtemp(prefix="labkit-ps-"))
    world = World(folder, progress, options, num_workers)
    try:
        for number, (start, stop) in enumerate(bounds):
            job = ServerJob(
                number, initial[start:stop], str(rule), options, num_workers, correction, world.authkey, patience_s,
                str(folder / f"server-{number}"), str(folder / f"replica-{number}") if with_replicas else None,
                str(folder / f"checkpoint-{number}") if checkpoint_every else None, checkpoint_every,
                _step_of(kills, "server", number), _step_of(kills, "replica", number),
            )
            world.add_server(job)
        addresses = [[job.address, *([job.replica_address] if with_replicas else [])] for job in world.jobs]
        for number in range(num_workers):
            world.add_worker(WorkerJob(
                number, num_workers, model, data, options, loss, tuple(delays), addresses, bounds, world.authkey, patience_s,
                _step_of(kills, "worker", number),
            ))
        world.run()
    finally:
        world.end()
        shutil.rmtree(folder, ignore_errors=True)
    return _report(world, model, data, options, rule, num_servers, num_workers, bounds, loss, started)


def _step_of(kills: Sequence[Kill], role: str, number: int) -> int | None:
    steps = [kill.step for kill in kills if (kill.role, kill.number) == (role, number)]
    return min(steps, default=None)


def _checked(data, options, num_workers, num_servers, consistency, correction, kills, delays) -> Consistency:
    rule = Consistency.parse(consistency)
    checked_correction(correction)
    if not (1 <= num_workers and 1 <= num_servers and num_workers + num_servers <= MOST_PROCESSES):
        raise UsageError(
            f"train_on_processes: {num_workers} workers and {num_servers} servers: take at least one of each, and at most "
            f"{MOST_PROCESSES} together."
        )
    if options.batch_size < num_workers:
        raise UsageError(
            f"batch_size {options.batch_size} is less than the {num_workers} workers: some would never get a sample. Use "
            f"batch_size={num_workers} or more, or fewer workers."
        )
    if options.precision != "fp32" or options.num_micro_batches != 1 or options.max_gradient_norm is not None:
        raise UsageError(
            f"parameter server: precision {options.precision!r}, {options.num_micro_batches} micro-batches, max_gradient_norm="
            f"{options.max_gradient_norm}: servers take whole fp32 gradients as they are; leave these options out."
        )
    for fault in kills:
        most = num_workers if fault.role == "worker" else num_servers
        if fault.number >= most:
            raise UsageError(f"{fault}: there are {most} of these, 0 to {most - 1}: pass one of them.")
    for delay in delays:
        if delay.worker >= num_workers:
            raise UsageError(f"{delay} is for worker {delay.worker}, but the workers are 0 to {num_workers - 1}: pass one of them.")
    return rule


def _report(world, model, data, options, rule, num_servers, num_workers, bounds, loss, started) -> ParameterServerReport:
    import torch

    flat = FlatModel(model)
    for number, (start, stop) in enumerate(bounds):
        flat.weights[start:stop] = world.blocks[number][0]
    flat.release()
    finished = [world.buffers[number] for number in sorted(world.buffers)]
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            values = [buffers[name] for buffers in finished]
            if values:
                buffer.copy_(sum(values) / len(values) if buffer.is_floating_point() else values[0])
    if world.failures:
        worker, step, words = world.failures[0]
        kind = NonFiniteError if words.startswith("NonFiniteError") else TrainingError
        words = words.removeprefix("NonFiniteError: ")
        raise kind(
            f"step {step}: worker {worker} stopped: {words} The model holds the weights of the servers.", step=step, ranks=(worker,)
        )
    if not any(len(rows) == options.num_steps for rows in world.rows):
        raise TrainingError(
            f"no worker came to step {options.num_steps}: {'; '.join(world.events)}. The model holds the weights of the servers."
        )
    losses = np.full((num_workers, options.num_steps), np.nan)
    moments = np.full((num_workers, options.num_steps, 4), np.nan)
    missing = np.zeros((num_workers, options.num_steps), np.int64)
    first = min((row[2] for rows in world.rows for row in rows), default=0)
    for number, rows in enumerate(world.rows):
        for step, (value, absent, *times) in enumerate(rows):
            losses[number, step], missing[number, step] = value, absent
            moments[number, step] = [(moment - first) / 1e9 for moment in times]
    test_loss, accuracy = evaluate(Alone(), model, data, loss=loss)
    applied = tuple(world.blocks[0][1])
    num_bytes = 4 * bounds[-1][1]
    return ParameterServerReport(
        consistency=str(rule), carrier="processes", num_servers=num_servers, num_workers=num_workers, options=options,
        losses=losses, moments_s=moments, missing=missing, applied=applied,
        stalenesses=tuple(update.staleness for update in applied), accuracy=accuracy, test_loss=test_loss,
        digest=weights_digest(model), sent_bytes=tuple(num_bytes * len(rows) for rows in world.rows),
        events=tuple(world.events), seconds=time.monotonic() - started,
    )
