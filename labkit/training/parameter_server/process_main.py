"""What the processes of a parameter server run: a server or its replica, and a worker."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Client, Listener

import numpy as np
import torch
from torch import nn

from labkit.errors import NonFiniteError
from labkit.training.data import DataSet
from labkit.training.options import TrainingOptions
from labkit.training.parameter_server.connections import (
    BROKEN,
    RETRY_S,
    START_S,
    ConnectionClient,
    Inbox,
    follow,
    serve_connections,
)
from labkit.training.parameter_server.delays import Delay, delay_s
from labkit.training.parameter_server.optimizer import block_optimizer
from labkit.training.parameter_server.shard_server import ShardServer
from labkit.training.parameter_server.worker import Worker


@dataclass(frozen=True, slots=True)
class ServerJob:
    """All that a server, or its replica, is told."""

    number: int
    block: np.ndarray
    consistency: str
    options: TrainingOptions
    num_workers: int
    correction: str | None
    authkey: bytes
    patience_s: float
    address: str
    replica_address: str | None
    checkpoint: str | None
    checkpoint_every: int | None
    kill_at: int | None
    kill_replica_at: int | None
    is_restarted: bool = False

    def restarted(self) -> ServerJob:
        """The same, from its checkpoint; the fault that was injected does not come again."""
        return replace(self, is_restarted=True, kill_at=None)


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """All that a worker is told."""

    number: int
    num_workers: int
    model: nn.Module
    data: DataSet
    options: TrainingOptions
    loss: Callable
    delays: tuple[Delay, ...]
    addresses: list[list[str]]
    bounds: tuple[tuple[int, int], ...]
    authkey: bytes
    patience_s: float
    kill_at: int | None


def run_server(job: ServerJob, is_replica: bool, report) -> None:
    """A server's process: serve until all workers have finished, then send the block home."""
    _quiet_start()
    block = job.block.copy()
    optimizer, apply = block_optimizer(block, job.options, job.num_workers, job.correction)
    server = ShardServer(range(job.num_workers), job.consistency, apply)
    if job.is_restarted:
        step = _restore(job, block, optimizer, server)
        report.send(("event", f"server {job.number} died and was started again from its checkpoint of step {step}"))
    to_replica, patience_s = None, job.patience_s
    if is_replica:  # workers that found it while the server was starting would wait here for ever: no inbox yet
        with Listener(f"{job.replica_address}-follows", authkey=job.authkey) as listener, listener.accept() as primary:
            follow(server, primary, block.dtype, _killer(server, job.kill_replica_at))
    inbox = Inbox(job.replica_address if is_replica else job.address, job.authkey, block.dtype)
    if not is_replica and not job.is_restarted:
        patience_s = max(START_S, patience_s)
        if job.replica_address is not None:
            to_replica = _call(f"{job.replica_address}-follows", job.authkey)
    kill = _killer(server, None if is_replica else job.kill_at)
    saved = [server.clocks.slowest]

    def after_event() -> None:
        slowest = server.clocks.slowest
        if job.checkpoint is not None and slowest >= saved[0] + job.checkpoint_every:
            _save(job, block, optimizer, server)
            saved[0] = slowest
        kill()

    if job.checkpoint is not None and not job.is_restarted:
        _save(job, block, optimizer, server)
    serve_connections(server, block, inbox, replica=to_replica, patience_s=patience_s, after_event=after_event)
    with contextlib.suppress(*BROKEN):
        report.send(("block", block, server.applied))
    inbox.close()


def run_worker(job: WorkerJob, report) -> None:
    """A worker's process: all its steps, told one by one."""
    _quiet_start()
    worker = Worker(job.model, job.data, job.options, job.number, job.num_workers, job.loss)
    client = ConnectionClient(job.number, job.addresses, job.bounds, job.authkey, job.patience_s)
    step = 0
    try:
        for step in range(job.options.num_steps):
            began = time.monotonic_ns()
            _, missing = client.pull(worker.flat.weights, step)
            pulled = time.monotonic_ns()
            value, share = worker.gradient(step)
            time.sleep(delay_s(job.delays, job.number, step))
            computed = time.monotonic_ns()
            if step == job.kill_at:
                _die()
            client.push(worker.flat.gradient, step, share)
            report.send(("step", value, missing, began, pulled, computed, time.monotonic_ns()))
        report.send(("buffers", {name: buffer.clone() for name, buffer in job.model.named_buffers()}))
    except BrokenPipeError:
        return  # nobody is there to hear of it
    except Exception as error:
        name = "NonFiniteError" if isinstance(error, NonFiniteError) else type(error).__name__
        report.send(("failure", step, f"{name}: {error}"))
    finally:
        with contextlib.suppress(Exception):
            client.finish()


def _quiet_start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    torch.set_num_threads(1)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _killer(server: ShardServer, step: int | None) -> Callable[[], None]:
    """Ends this process when the slowest worker has pushed so many steps."""
    return lambda: _die() if step is not None and server.clocks.slowest >= step else None


def _call(address: str, authkey: bytes):
    end = time.monotonic() + START_S
    while True:
        try:
            return Client(address, authkey=authkey)
        except BROKEN:
            if time.monotonic() > end:
                return None  # the replica died before it could listen: go on without
            time.sleep(RETRY_S)


def _save(job: ServerJob, block: np.ndarray, optimizer, server: ShardServer) -> None:
    """Atomic: the file is whole, the old one or the new one."""
    state = {
        "block": torch.from_numpy(block), "optimizer": optimizer.state_dict(), "server": server.state_dict(),
    }
    unfinished = f"{job.checkpoint}.new"
    with open(unfinished, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, job.checkpoint)


def _restore(job: ServerJob, block: np.ndarray, optimizer, server: ShardServer) -> int:
    state = torch.load(job.checkpoint, weights_only=True)
    block[:] = state["block"].numpy()
    optimizer.load_state_dict(state["optimizer"])
    server.load_state_dict(state["server"])
    return server.clocks.slowest
