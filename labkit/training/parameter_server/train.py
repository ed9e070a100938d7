"""Training with parameter servers on the ranks of a communicator."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import nn

from labkit.errors import LabkitError, NonFiniteError, NotAvailableError, TrainingError, UsageError
from labkit.training.agreement import all_or_none, check_equal, check_models, weights_digest
from labkit.training.data import DataSet
from labkit.training.evaluation import evaluate
from labkit.training.learning_rate import learning_rate_at
from labkit.training.losses import sample_losses
from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.consistency import Consistency
from labkit.training.parameter_server.delays import Delay, delay_s
from labkit.training.parameter_server.messages import MessageClient, Spares, serve
from labkit.training.parameter_server.optimizer import block_optimizer, checked_correction, explicit_momentum
from labkit.training.parameter_server.report import ParameterServerReport
from labkit.training.parameter_server.shard_server import ShardServer
from labkit.training.parameter_server.shards import roles, shard_bounds
from labkit.training.parameter_server.windows import WeightWindows, WindowClient, serve_windows
from labkit.training.parameter_server.worker import FlatModel, Worker
from labkit.training.progress import Progress
from labkit.training.recording import clock_of, is_simulated

BLOCK = 16384  # elements


def train_with_servers(
    comm, model: nn.Module, data: DataSet, options: TrainingOptions | None = None, *, num_servers: int = 1,
    consistency: str | Consistency = "bsp", one_sided: bool = False, delays: Sequence[Delay] = (),
    correction: str | None = None, loss: Callable = sample_losses, progress=None,
) -> ParameterServerReport:
    """Train with the first ranks as servers and the others as workers. Collective.

    Every worker takes its shard of each batch, as the ranks of :func:`labkit.training.trainer.train` do: with
    ``consistency="bsp"`` the outcome is that of the training on one process, but for the order of additions.

    Parameters
    ----------
    comm : communicator
        At least two ranks. One-sided needs real MPI ranks.
    model : torch.nn.Module
        Equal on all ranks, float32, on the CPU; holds the trained weights afterwards, on every rank. The buffers of
        batch norms are the means of the workers'.
    data : DataSet
    options : TrainingOptions, optional
        One-sided: plain SGD, with or without momentum.
    num_servers : int
        The weights are cut into so many blocks.
    consistency : str or Consistency
        ``"bsp"``, ``"ssp,s"`` or ``"async"``.
    one_sided : bool
        Windows, with Get and Accumulate, instead of messages.
    delays : sequence of Delay
        Workers that are slow or stall; in virtual time on simulated ranks.
    correction : str, optional
        For stale gradients: ``"learning_rate"`` or ``"momentum"``, see :mod:`.optimizer`; with the bound 0 nothing is
        stale, and it changes nothing.
    loss : callable
        ``loss(outputs, targets)`` is the loss of each sample, (N,).
    progress : bool or callable, optional
        See :class:`labkit.training.progress.Progress`; shown by the first worker.

    Returns
    -------
    ParameterServerReport
        Equal on all ranks.

    Raises
    ------
    UsageError
        Roles, options or models that do not fit: on all ranks, before any step.
    TrainingError
        A worker failed in a step, with a loss that is NaN for example: on all ranks, when the others have ended. The
        model holds the weights of the servers, which the failed gradient has not reached.

    Examples
    --------
    >>> from labkit.comm.simulated.run import simulate
    >>> from labkit.training.data import load_digits
    >>> from labkit.training.models.registry import make_model
    >>> data = load_digits()
    >>> def program(comm):
    ...     model = make_model("mlp", data, hidden=(16,))
    ...     return train_with_servers(comm, model, data, TrainingOptions(num_steps=4), consistency="ssp,1").num_workers
    >>> simulate(3, program).results
    [2, 2, 2]
    """
    options = options or TrainingOptions()
    rule, servers, workers = all_or_none(comm, lambda: _checked(
        comm, data, options, num_servers, consistency, one_sided, delays, correction
    ))
    if rule.bound == 0:
        correction = None  # nothing is stale
    settings = f"{num_servers} servers, {rule}, one_sided={one_sided}, {correction}, {tuple(delays)}, {options}"
    check_equal(comm, "options or rules", settings, "Pass equal ones on every rank.")
    check_equal(comm, "the data", data.digest(), "Load the same data on every rank.")
    check_models(comm, model)
    comm.Barrier()
    clock, started = clock_of(comm), time.monotonic()
    first_ns = clock()
    mine = _Outcome()
    is_server = comm.rank in servers
    worker = None if is_server else Worker(model, data, options, workers.index(comm.rank), len(workers), loss)
    flat = FlatModel(model) if is_server else worker.flat
    bounds = all_or_none(comm, lambda: shard_bounds(flat.weights.size, num_servers))
    run = _one_sided if one_sided else _two_sided
    final = run(comm, servers, workers, bounds, flat, worker, rule, options, correction, delays, mine, clock, progress)
    # Blocks from the servers to everyone, then buffers from the workers.
    for server, (start, stop) in zip(servers, bounds, strict=True):
        comm.Bcast(final[start:stop], server)
    flat.weights[:] = final
    _average_buffers(comm, model, workers)
    flat.release()
    everyone = comm.allgather(mine)
    _raise_failures(everyone, workers)
    return _report(comm, model, data, options, rule, one_sided, servers, workers, everyone, first_ns, started, loss, bounds)


class _Outcome:
    """What a rank has seen."""

    def __init__(self):
        self.rows: list[tuple] = []  # of each step: loss, gradients missing, four moments in ns
        self.applied: tuple = ()
        self.stalenesses: tuple[int, ...] = ()
        self.failure: str | None = None
        self.step: int | None = None


def _two_sided(comm, servers, workers, bounds, flat, worker, rule, options, correction, delays, mine, clock, progress):
    final = flat.weights.copy()
    if worker is None:
        start, stop = bounds[servers.index(comm.rank)]
        block = final[start:stop]
        spares = Spares(stop - start, block.dtype)
        _, apply = block_optimizer(block, options, len(workers), correction)
        server = ShardServer(workers, rule, apply, spares.give_back)
        serve(comm, server, block, spares)
        if comm.rank == servers[0]:
            mine.applied = tuple(server.applied)
            mine.stalenesses = tuple(applied.staleness for applied in server.applied)
    else:
        client = MessageClient(comm, servers, bounds)
        _work(comm, worker, client, options, delays, mine, clock, progress)
    return final


def _one_sided(comm, servers, workers, bounds, flat, worker, rule, options, correction, delays, mine, clock, progress):
    final = flat.weights.copy()
    windows = WeightWindows(comm, servers, bounds, final.dtype)
    if worker is None:
        start, stop = bounds[servers.index(comm.rank)]
        windows.block[:] = final[start:stop]
    comm.Barrier()
    if worker is None:
        serve_windows(windows)
        final[start:stop] = windows.block
    else:
        client = WindowClient(windows, rule, _descent(options, len(workers), correction, final.size))
        _work(comm, worker, client, options, delays, mine, clock, progress)
        mine.stalenesses = tuple(client.stalenesses)
    windows.free()
    return final


def _descent(options: TrainingOptions, num_workers: int, correction: str | None, num_elements: int):
    """Gradient descent with this worker's own momentum: turns a gradient into what is added to the weights."""
    momentum = explicit_momentum(options.momentum, num_workers) if correction == "momentum" else options.momentum
    velocity = np.zeros(num_elements, np.float32) if momentum else None

    def change(gradient: np.ndarray, clock: int, share: float) -> None:
        rate = np.float32(-learning_rate_at(clock, options))
        if velocity is None:
            np.multiply(gradient, rate * np.float32(share), out=gradient)
            return
        for start in range(0, num_elements, BLOCK):  # three operations a block while it is in the cache
            some, speed = gradient[start : start + BLOCK], velocity[start : start + BLOCK]
            some *= np.float32(share)
            speed *= np.float32(momentum)
            speed += some
            np.multiply(speed, rate, out=some)

    return change


def _work(comm, worker, client, options, delays, mine, clock, progress) -> None:
    """All steps of a worker; one that fails ends without holding the others back."""
    bar = Progress(options.num_steps, False if worker.worker_num else progress)
    try:
        for step in range(options.num_steps):
            began = clock()
            _, missing = client.pull(worker.flat.weights, step)
            pulled = clock()
            value, share = worker.gradient(step)
            _sleep(comm, delay_s(delays, worker.worker_num, step))
            computed = clock()
            client.push(worker.flat.gradient, step, share)
            mine.rows.append((value, missing, began, pulled, computed, clock()))
            bar.update(step + 1, value)
    except LabkitError as error:
        mine.failure, mine.step = str(error), step
    except Exception as error:  # of the model or the loss: told to all ranks, with its kind
        mine.failure, mine.step = f"{type(error).__name__}: {error}", step
    finally:
        client.finish()
        bar.close()


def _sleep(comm, seconds: float) -> None:
    if not seconds:
        return
    if is_simulated(comm):
        comm.charge_compute(seconds)
    else:
        time.sleep(seconds)


def _checked(comm, data, options, num_servers, consistency, one_sided, delays, correction):
    rule = Consistency.parse(consistency)
    servers, workers = roles(comm.size, num_servers)
    checked_correction(correction)
    if options.batch_size < len(workers):
        raise UsageError(
            f"batch_size {options.batch_size} is less than the {len(workers)} workers: some would never get a sample. Use "
            f"batch_size={len(workers)} or more, or fewer ranks."
        )
    for delay in delays:
        if delay.worker >= len(workers):
            raise UsageError(f"{delay} is for worker {delay.worker}, but the workers are 0 to {len(workers) - 1}: pass one of them.")
    if options.precision != "fp32" or options.num_micro_batches != 1 or options.max_gradient_norm is not None:
        raise UsageError(
            f"parameter server: precision {options.precision!r}, {options.num_micro_batches} micro-batches, "
            f"max_gradient_norm={options.max_gradient_norm}: servers take whole fp32 gradients as they are; leave these options out."
        )
    if one_sided:
        if is_simulated(comm):
            raise NotAvailableError("parameter server: simulated ranks have no windows: leave one_sided out, or run on real ranks.")
        if options.optimizer != "sgd" or options.weight_decay or correction == "learning_rate":
            raise UsageError(
                f"parameter server: one-sided, changes are only added up, which {options.optimizer} with weight_decay="
                f"{options.weight_decay} and correction={correction!r} is not: take optimizer='sgd' without weight_decay, with "
                f"correction=None or 'momentum'; or one_sided=False."
            )
    return rule, servers, workers


def _average_buffers(comm, model, workers) -> None:
    """Buffers of batch norms: the means of the workers'; others: the first worker's."""
    for buffer in model.buffers():
        values = comm.allgather(buffer.detach().clone())
        values = [values[rank] for rank in workers]
        buffer.copy_(sum(values) / len(values) if buffer.is_floating_point() else values[0])


def _raise_failures(everyone, workers) -> None:
    failed = [(workers.index(rank), everyone[rank]) for rank in workers if everyone[rank].failure is not None]
    if not failed:
        return
    worker, outcome = failed[0]
    also = f" (and workers {', '.join(str(other) for other, _ in failed[1:])} failed too)" if failed[1:] else ""
    kind = NonFiniteError if "is nan" in outcome.failure or "is inf" in outcome.failure else TrainingError
    raise kind(
        f"step {outcome.step}: worker {worker} stopped: {outcome.failure}{also}. The model holds the weights of the servers.",
        step=outcome.step, ranks=tuple(workers[number] for number, _ in failed),
    )


def _report(comm, model, data, options, rule, one_sided, servers, workers, everyone, first_ns, started, loss, bounds):
    first = min(comm.allgather(first_ns)) if is_simulated(comm) else None
    starts = comm.allgather(first_ns)
    num_steps = options.num_steps
    losses = np.full((len(workers), num_steps), np.nan)
    moments = np.full((len(workers), num_steps, 4), np.nan)
    missing = np.zeros((len(workers), num_steps), np.int64)
    for number, rank in enumerate(workers):
        origin = starts[rank] if first is None else first
        for step, (value, absent, *times) in enumerate(everyone[rank].rows):
            losses[number, step], missing[number, step] = value, absent
            moments[number, step] = [(moment - origin) / 1e9 for moment in times]
    test_loss, accuracy = evaluate(comm, model, data, loss=loss)
    num_bytes = 4 * bounds[-1][1]
    return ParameterServerReport(
        consistency=str(rule), carrier="windows" if one_sided else "messages", num_servers=len(servers), num_workers=len(workers),
        options=options, losses=losses, moments_s=moments, missing=missing, applied=everyone[servers[0]].applied,
        stalenesses=tuple(s for outcome in everyone for s in outcome.stalenesses), accuracy=accuracy, test_loss=test_loss,
        digest=weights_digest(model), sent_bytes=tuple(num_bytes * len(everyone[rank].rows) for rank in workers),
        seconds=time.monotonic() - started,
    )
