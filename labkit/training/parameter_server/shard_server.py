"""What a server does with its block of weights, apart from how messages reach it.

A state machine: every event (``pull``, ``push``, ``lose``, ``finish``) returns the answers that it makes possible. What
carries the messages (MPI, sockets, a simulation) is elsewhere, and so the rules can be tested one event at a time.

Gradients that were pushed are applied when somebody is about to read: those of one step together, workers in order, as
one step of the optimizer. With the bound 0 a reader gets the steps before its own and nothing else: each group holds
all workers' gradients, their mean is that of the whole batch, and what comes out is the training on one process. With a
larger bound, or none, a group holds what has arrived by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from labkit.errors import UsageError
from labkit.training.parameter_server.consistency import Clocks, Consistency


@dataclass(frozen=True, slots=True)
class Answer:
    """The weights for a worker that had asked for them.

    Attributes
    ----------
    worker : int
    version : int
        How many gradients they contain.
    num_missing : int
        How many gradients of steps before the worker's own they do not contain yet.
    """

    worker: int
    version: int
    num_missing: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A gradient that has become part of the weights.

    Attributes
    ----------
    worker : int
    clock : int
        The step that it belongs to, from 0.
    staleness : int
        How many gradients of others became part of the weights between the pull it was computed from and now; those
        of the same step that were applied with it do not count.
    num_ahead : int
        How many steps its worker was ahead of the slowest when it was applied.
    """

    worker: int
    clock: int
    staleness: int
    num_ahead: int


@dataclass(slots=True)
class _Pushed:
    worker: int
    clock: int
    share: float
    version: int
    gradient: np.ndarray


class ShardServer:
    """A block of the weights, the gradients that wait, and the workers that wait.

    Parameters
    ----------
    workers : iterable of int
    consistency : Consistency or str
    apply : callable
        ``apply(gradient, clock, staleness)``: one step of the optimizer on the block; ``gradient`` is the weighted sum
        of a group, ``staleness`` the mean of its gradients' (for learning rates that depend on it).
    release : callable, optional
        ``release(gradient)``: the array of a push is free to be used again.
    """

    def __init__(
        self, workers: Iterable[int], consistency: Consistency | str, apply: Callable[[np.ndarray, int, float], None],
        release: Callable[[np.ndarray], None] = lambda gradient: None,
    ):
        self.consistency = Consistency.parse(consistency)
        self.clocks = Clocks(workers)
        self.num_workers = len(self.clocks)
        self.version = 0
        self.applied: list[Applied] = []
        self._apply, self._release = apply, release
        self._lost: set[int] = set()
        self._pending: list[_Pushed] = []
        self._waiting: dict[int, None] = {}  # workers that have asked, in the order of asking
        self._version_read: dict[int, int] = {}
        self._clock_read: dict[int, int] = {}

    @property
    def waiting(self) -> tuple[int, ...]:
        """Workers that have asked for weights and must wait for others."""
        return tuple(self._waiting)

    def pull(self, worker: int) -> list[Answer]:
        """A worker asks for the weights, at its clock."""
        self._check_known(worker, "pulls")
        self._waiting[worker] = None
        return self._answers()

    def push(self, worker: int, clock: int, gradient: np.ndarray, share: float) -> list[Answer]:
        """A worker has a gradient of its step ``clock``, to be multiplied by its ``share`` of the whole batch.

        The array belongs to the server from now on, which writes into it.

        A push that has come before, which a worker repeats when it does not know whether a server that was lost had
        it, changes nothing.
        """
        self._check_known(worker, "pushes")
        known = self.clocks[worker]
        if clock < known:
            return []
        if clock > known:
            raise UsageError(
                f"parameter server: worker {worker} pushes its step {clock}, but its step {known} has not come: "
                f"push every step once, in order."
            )
        version = self._version_read.get(worker, 0)
        self._pending.append(_Pushed(worker, clock, share, version, gradient))
        self.clocks.tick(worker)
        return self._answers()

    def lose(self, worker: int) -> list[Answer]:
        """A worker died: nobody waits for it, and the others' shares of the batch grow. What it has pushed stays."""
        if worker in self.clocks:
            self._lost.add(worker)
        return self.finish(worker)

    def finish(self, worker: int) -> list[Answer]:
        """A worker has done all its steps: nobody waits for it any more."""
        self.clocks.remove(worker)
        self._waiting.pop(worker, None)
        return self._answers()

    def greet(self, worker: int, clock: int) -> list[Answer]:
        """A worker calls: for the first time, or because the server it had talked to is gone.

        A worker that is further than this server knows has pushed to one that is gone: those gradients are lost.
        """
        if worker not in self.clocks:
            self.join(worker)
        if clock > self.clocks[worker]:
            self.clocks.add(worker, clock)
        return self._answers()

    def join(self, worker: int) -> int:
        """A worker comes to the others; returns the step at which it begins, that of the slowest."""
        clock = self.clocks.slowest
        self.clocks.add(worker, clock)
        if worker in self._lost:
            self._lost.remove(worker)
        else:
            self.num_workers += 1
        return clock

    def flush(self, before: int | None = None) -> None:
        """Apply what waits: all of it at the end and before a checkpoint, or that of the steps ``before`` one."""
        groups: dict[int, list[_Pushed]] = {}
        kept = []
        for pushed in self._pending:
            if before is not None and pushed.clock >= before:
                kept.append(pushed)
            else:
                groups.setdefault(pushed.clock, []).append(pushed)
        self._pending = kept
        for clock in sorted(groups):
            self._apply_group(clock, sorted(groups[clock], key=lambda pushed: pushed.worker))

    def state_dict(self) -> dict:
        """What a server that is started again needs besides the weights: whole numbers, no gradients.

        Gradients that have come but have not been applied are not in it: their workers count as one step less far.
        """
        clocks = {worker: self.clocks[worker] for worker in self.clocks.workers}
        for pushed in self._pending:
            if pushed.worker in clocks:
                clocks[pushed.worker] = min(clocks[pushed.worker], pushed.clock)
        return {"clocks": clocks, "version": self.version, "num_workers": self.num_workers, "lost": sorted(self._lost),
                "applied": [(a.worker, a.clock, a.staleness, a.num_ahead) for a in self.applied]}

    def load_state_dict(self, state: dict) -> None:
        """Go on from there."""
        self.clocks = Clocks(state["clocks"])
        for worker, clock in state["clocks"].items():
            self.clocks.add(worker, clock)
        self.version, self.num_workers, self._lost = state["version"], state["num_workers"], set(state["lost"])
        self.applied = [Applied(*values) for values in state["applied"]]

    # -- inner parts ----------------------------------------------------------------------------

    def _check_known(self, worker: int, verb: str) -> None:
        if worker not in self.clocks:
            raise UsageError(
                f"parameter server: worker {worker} {verb}, but the workers are {list(self.clocks.workers)}: "
                f"one that was given up must join again."
            )

    def _answers(self) -> list[Answer]:
        ready = [worker for worker in self._waiting if self.consistency.allows(self.clocks[worker], self.clocks.slowest)]
        if not ready:
            return []
        # With the bound 0 all readers are at the slowest clock, and must not see a gradient of the step they begin.
        self.flush(before=self.clocks.slowest if self.consistency.bound == 0 else None)
        answers = []
        for worker in ready:
            del self._waiting[worker]
            self._version_read[worker] = self.version
            clock = self.clocks[worker]
            num_missing = sum(max(0, clock - self.clocks[other]) for other in self.clocks.workers)
            answers.append(Answer(worker, self.version, num_missing))
        return answers

    def _apply_group(self, clock: int, group: list[_Pushed]) -> None:
        # The shares of those that are left add up to 1 again; a gradient of one that was lost since counts as it did.
        num_absent = len(self._lost - {pushed.worker for pushed in group})
        scale = self.num_workers / (self.num_workers - num_absent)
        total, *others = [pushed.gradient for pushed in group]
        for pushed in group:  # in place: they are this server's own
            np.multiply(pushed.gradient, pushed.gradient.dtype.type(pushed.share * scale), out=pushed.gradient)
        for other in others:
            total += other
        stalenesses = [self.version - pushed.version for pushed in group]
        self._apply(total, clock, float(np.mean(stalenesses)))
        slowest = self.clocks.slowest
        for pushed, staleness in zip(group, stalenesses, strict=True):
            self.applied.append(Applied(pushed.worker, clock, staleness, max(0, clock + 1 - slowest)))
        self.version += len(group)
        for pushed in group:
            self._release(pushed.gradient)
