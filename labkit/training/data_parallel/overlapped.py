"""Buckets are added up while the backward pass still computes the gradients of earlier layers."""

from __future__ import annotations

import contextlib

from labkit.errors import TrainingError, UsageError
from labkit.training.agreement import all_or_none
from labkit.training.data_parallel.bucketed import Bucketed
from labkit.training.data_parallel.comm_thread import CommThread, check_threads
from labkit.training.data_parallel.compressed import Compressed
from labkit.training.data_parallel.counting import CountingComm
from labkit.training.data_parallel.sparse import TopK
from labkit.training.recording import COMMUNICATION, MAIN, Traffic, is_simulated

FIRST_BUCKET_BYTES = 1 << 18
DRIVERS = ("thread", "hooks")


class Overlapped(Bucketed):
    """A bucket is handed over as soon as its last gradient is there: communication hides behind the backward pass.

    A hook of each parameter counts down what its bucket still waits for. Buckets start in one order on all ranks, that
    of the plan, even if a later one is complete before: collectives must meet.

    Parameters
    ----------
    driver : str, optional
        ``"thread"``: a thread communicates (see :mod:`.comm_thread`). ``"hooks"``: the library's nonblocking
        all-reduce, which moves on only when a hook or the wait at the end looks after it; for comparison, and for MPI
        libraries without threads. By default the thread, but the hooks where gradients lie in shared memory: what they
        have to do there is short (see :mod:`.shared_sum`).
    settings
        As for :class:`.bucketed.Bucketed`. The ``algorithm`` is by default ``"auto"``: on one node the sum in memory
        that the ranks share (see :mod:`.shared_sum`), else the library's all-reduce. The first bucket is small unless
        ``first_bucket_bytes`` says otherwise.

    Notes
    -----
    The last bucket is full when the backward pass ends, and cannot hide behind it. In shared memory, and if no value of
    all gradients is needed before (``check_gradients=False``, no ``max_gradient_norm``), the optimizer goes on with the
    parameters of complete buckets meanwhile; not before all ranks have agreed that the step is good.

    On simulated ranks the buckets start after the backward pass: time passes there in messages only, and a rank must
    not be left in the middle of it.
    """

    name = "overlapped"

    def __init__(
        self, *, driver: str | None = None, first_bucket_bytes: float | None = FIRST_BUCKET_BYTES, **settings
    ):
        settings.setdefault("algorithm", "library" if driver == "hooks" else "auto")
        super().__init__(first_bucket_bytes=first_bucket_bytes, **settings)
        if driver is not None and driver not in DRIVERS:
            raise UsageError(f"driver is one of {', '.join(DRIVERS)}, not {driver!r}: pass one of these.")
        if driver == "hooks" and self.reducer.name not in ("library", "auto"):
            raise UsageError(
                f"driver='hooks' uses the library's nonblocking all-reduce, and cannot run {self.reducer.name!r}: "
                "leave driver at 'thread'."
            )
        self.driver, self.thread, self.hooks, self.requests = driver, None, [], []

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        super().attach(comm, model, optimizer_factory, options, recorder)
        self.starts_early = comm.size > 1 and not is_simulated(comm)
        self.next_bucket, self.missing, self.may_defer = 0, [], False
        if not self.starts_early:
            return
        can_start = getattr(self.reducer, "can_start", False)
        self.may_defer = can_start and not self.sums and _is_separable(self.optimizer, options)
        if self.driver == "thread" or self.driver is None and not can_start:
            all_or_none(comm, check_threads)
            self.thread = CommThread(comm)
            self.thread_comm = CountingComm(self.thread.comm)
        bucket_of = {id(self.parameters[m]): bucket.number for bucket in self.buckets for m in bucket.members}
        for parameter in self.parameters:
            number = bucket_of[id(parameter)]
            hook = parameter.register_post_accumulate_grad_hook(
                lambda _, number=number: self._gradient_is_there(number)
            )
            self.hooks.append(hook)

    def start_step(self) -> None:
        self._look_after(to_the_end=True)  # of a step that failed
        super().start_step()
        self.next_bucket, self.missing = 0, []

    def start_micro_batch(self, is_last: bool) -> None:
        super().start_micro_batch(is_last)
        if is_last and self.starts_early:
            self.missing = [len(bucket.members) for bucket in self.buckets]

    def _gradient_is_there(self, number: int) -> None:
        """A hook: autograd has added to a gradient of this bucket."""
        if not self.missing:
            return  # not the last micro-batch: more will be added
        self.missing[number] -= 1
        if self.missing[number] < 0 and number < self.next_bucket:
            raise TrainingError(
                "a gradient was added to after its bucket had been sent: a parameter got gradients twice in one backward "
                "pass, as with re-entrant checkpointing. Use use_reentrant=False, or the strategy 'bucketed'."
            )
        while self.next_bucket < len(self.buckets) and self.missing[self.next_bucket] <= 0:
            self._start(self.buckets[self.next_bucket])
        self._look_after()

    def _start(self, bucket) -> None:
        self.next_bucket += 1
        name = f"bucket {bucket.number}"
        if self.thread is not None:
            ready = _gpu_event(bucket.flat)

            def add_up():
                with _beside_backward(bucket.flat, ready):
                    self.reduce(self.thread_comm, bucket.flat, bucket.number, name, COMMUNICATION)

            self.thread.give(add_up)
        elif self.starts_early:
            self._start_nonblocking(bucket, name)
        else:
            self.reduce(self.comm, bucket.flat, bucket.number, name)

    def _reduce_last_buckets(self) -> None:
        """Those that no hook has started: of unused parameters, or all of them."""
        for bucket in self.buckets[self.next_bucket :]:
            self._start(bucket)

    def reduce_gradients(self) -> None:
        self._reduce_last_buckets()
        if self.thread is not None:
            with self.recorder.span("wait for buckets", "wait", MAIN):
                self.thread.wait()
        elif self.requests and not self.may_defer:
            with self.recorder.span("wait for buckets", "wait", MAIN):
                self._look_after(to_the_end=True)
        self.missing, self.next_bucket = [], 0
        for bucket, total in zip(self.buckets, self.sums, strict=False):
            bucket.flat.add_(total)

    # -- all-reduces that move when somebody looks after them ------------------------------------------

    def _start_nonblocking(self, bucket, name: str) -> None:
        from mpi4py import MPI

        host = bucket.flat if bucket.flat.device.type == "cpu" else bucket.flat.cpu()
        steps = 2 * (self.comm.size - 1)
        self.comm.add(1, steps, bucket.num_bytes * steps // self.comm.size)
        if getattr(self.reducer, "can_start", False):
            request = self.reducer.start(self.comm, host, bucket.number)
        else:
            request = self.comm.Iallreduce(MPI.IN_PLACE, host.numpy())
        self.requests.append((request, bucket, host, name, self.recorder.now()))

    def step(self, learning_rate: float) -> None:
        """The optimizer; while buckets are on their way, for the parameters of complete ones."""
        todo = self.buckets
        while self.requests:
            waiting = [bucket for _, bucket, *_ in self.requests]
            if len(waiting) < len(todo):
                self._step_of([bucket for bucket in todo if bucket not in waiting], learning_rate)
                todo = waiting
            else:
                with self.recorder.span("wait for buckets", "wait", MAIN):
                    self.requests[0][0].Wait()
            self._look_after()
        self._step_of(todo, learning_rate)

    def _step_of(self, buckets: list, learning_rate: float) -> None:
        """The optimizer leaves out what has no gradient."""
        chosen = {member for bucket in buckets for member in bucket.members}
        others = [p for number, p in enumerate(self.parameters) if number not in chosen]
        gradients = [parameter.grad for parameter in others]
        try:
            for parameter in others:
                parameter.grad = None
            super().step(learning_rate)
        finally:
            for parameter, gradient in zip(others, gradients, strict=True):
                parameter.grad = gradient

    def _look_after(self, *, to_the_end: bool = False) -> None:
        """Complete requests from the first on; every look also moves them."""
        while self.requests:
            request, bucket, host, name, started = self.requests[0]
            if to_the_end:
                request.Wait()
            elif not request.Test():
                return
            if host is not bucket.flat:
                bucket.flat.copy_(host)
            self.recorder.spans.append(
                (COMMUNICATION, name, "collective", started, self.recorder.now(), bucket.num_bytes)
            )
            self.requests.pop(0)

    # -- books and the end ---------------------------------------------------------------------------

    def traffic(self) -> Traffic:
        total = super().traffic()
        return total + self.thread_comm.total if self.thread is not None else total

    def detach(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.requests = [], []
        if self.thread is not None:
            if hasattr(self.reducer, "rooms"):
                self.reducer.leave()
            thread, self.thread = self.thread, None
            thread.close()
        super().detach()


def _is_separable(optimizer, options) -> bool:
    """Whether it may change some parameters before the gradients of others are known."""
    import torch

    return (
        not options.check_gradients and options.max_gradient_norm is None and options.precision == "fp32"
        and type(optimizer) in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
    )


def _gpu_event(tensor):
    """On a GPU: the moment in its work at which the gradient is ready."""
    if tensor.device.type != "cuda":
        return None
    import torch

    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(tensor.device))
    return event


@contextlib.contextmanager
def _beside_backward(tensor, ready):
    """On a GPU: work on a stream of its own after ``ready``, and do not return before it is done."""
    if ready is None:
        yield
        return
    import torch

    stream = torch.cuda.Stream(tensor.device)
    stream.wait_event(ready)
    with torch.cuda.stream(stream):
        yield
    stream.synchronize()


def fp16_compressed(*, error_feedback: bool = True, **settings) -> Overlapped:
    """Overlapped, with gradients sent as fp16."""
    return _named(
        "fp16_compressed", Overlapped(algorithm=Compressed("fp16", error_feedback=error_feedback), **settings)
    )


def bf16_compressed(*, error_feedback: bool = True, **settings) -> Overlapped:
    """Overlapped, with gradients sent as bf16."""
    return _named(
        "bf16_compressed", Overlapped(algorithm=Compressed("bf16", error_feedback=error_feedback), **settings)
    )


def top_k(*, share: float = 0.01, error_feedback: bool = True, **settings) -> Overlapped:
    """Overlapped, with the largest gradients alone."""
    return _named("top_k", Overlapped(algorithm=TopK(share, error_feedback=error_feedback), **settings))


def _named(name: str, strategy: Overlapped) -> Overlapped:
    strategy.name = name
    return strategy
