"""One rank's part of a plan, with real tensors: forwards, backwards, and the messages between them.

The executor goes through the rank's actions in the order of the plan. Before an action it waits for what the action
needs from other ranks; receives of the next few actions are started by then. After it, what others need is sent without
waiting. Between two stages of one rank values are handed over.

=======  ==================================================================================================
action   does
=======  ==================================================================================================
F        waits for activations, computes the stage, sends the result; on the last stage computes the loss
B        waits for the gradient of the result, computes that of the input, sends it
W        adds the gradients of the weights
BW       B and W in one pass of autograd
=======  ==================================================================================================

A checkpointed stage keeps its input alone and is computed again before B: with the same random numbers (see
:mod:`.random_streams`), and without changing running statistics a second time.

Gradients of a weight are added up in the order in which the plan runs W (or BW) of the micro-batches. Two plans with
the same order on a stage give the same bits there, and so does one process that takes the micro-batches in this order.
GPipe runs them backwards: the same numbers in another order, so the last bits may differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from labkit.errors import NonFiniteError, TrainingError
from labkit.training.in_pass import PeerFailedError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.compute import Computing, StepInputs
from labkit.training.pipeline.exchange import Exchange, Layout
from labkit.training.pipeline.held import Held, storage_bytes
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.random_streams import RandomStreams
from labkit.training.pipeline.split_backward import backward, backward_input
from labkit.training.pipeline.stages import CutModel
from labkit.training.pipeline.transport import Transport
from labkit.training.recording import Recorder, is_simulated


class Executor(Exchange, Computing):
    """Runs the steps of a plan on one rank. Made by all ranks at once.

    Parameters
    ----------
    comm : communicator
    cut : CutModel
        Its own stages on ``device``.
    plan : Plan
        Of ``comm.size`` ranks; kept to the rules of :mod:`.rules`.
    recorder : Recorder
    device : torch.device
    seed : int
        Of dropout.
    checkpointed : set of int
        Stages that are computed again before backward.
    pause_s : callable, optional
        ``pause_s(action)``: an action takes at least so long, by sleeping (in virtual time on simulated ranks). To
        see schedules with stages of known times.

    Attributes
    ----------
    transport : Transport
    watches_memory : bool
        Note in ``memory`` how many bytes of activations are alive after each action.
    memory : list of (int, int)
        Times in ns, and bytes, of the last step that was watched.
    """

    def __init__(
        self, comm, cut: CutModel, plan: Plan, recorder: Recorder, device: torch.device, *, seed: int = 0,
        checkpointed=frozenset(), pause_s: Callable | None = None,
    ):
        self.comm, self.cut, self.plan, self.recorder, self.device = comm, cut, plan, recorder, device
        self.rank, self.actions = comm.rank, plan.actions[comm.rank]
        self.checkpointed, self.pause_s = frozenset(checkpointed), pause_s
        self.transport = Transport(comm, device)
        self.streams = RandomStreams(cut.model, seed, device)
        self.is_split = any(action.kind == "B" for action in self.actions)
        self.watches_memory, self.memory = False, []
        self.last = len(cut.stages) - 1
        self.weight_addresses = {p.untyped_storage().data_ptr() for p in cut.model.parameters()}
        self.layouts: dict[tuple, Layout] = {}  # (boundary, samples, slice): as seen from this rank
        self.reached: set[int] = set()  # weights that W has found, by identity
        self.needed_by_w: dict[tuple, tuple[set[int], int]] = {}
        self._forget_step()

    def run(self, given: StepInputs) -> float:
        """One step; this rank's part of the loss. Collective.

        Gradients are added to what is there, those of tied parameters not yet over the stages.

        Raises
        ------
        PeerFailedError
            Another rank has failed.
        Exception
            What this rank has run into, with the action in its message.
        """
        self._forget_step()
        self.given, failure = given, None
        try:
            for position, action in enumerate(self.actions):
                self._post_receives(position)
                self.act(action)
                self.transport.tidy()
        except PeerFailedError:
            pass
        except Exception as error:
            failure = error
        self.close_step(failure)
        return sum((self.parts[key] for key in sorted(self.parts)), 0.0)

    def close_step(self, failure: Exception | None) -> None:
        """All ranks come here at the end of a step, also one that could not start it. Collective."""
        if failure is not None:
            self.transport.fail()
        try:
            self.transport.close_step(failure is not None)
        except PeerFailedError:
            self._forget_step()
            self.layouts = {}
            if failure is None:
                raise
        if failure is not None:
            raise failure

    def act(self, action: Action) -> None:
        """One action."""
        do = {"F": self._forward, "B": self._backward, "BW": self._backward, "W": self._weights}[action.kind]
        try:
            do(action)
        except (PeerFailedError, NonFiniteError):
            raise
        except Exception as error:
            raise TrainingError(
                f"stage {action.stage}, micro-batch {action.microbatch} ({action}): {type(error).__name__}: {error}"
            ) from error
        if self.watches_memory:
            alive = (tensor for held in self.held.values() for tensor in held.tensors())
            self.memory.append((self.recorder.now(), storage_bytes(alive, self.weight_addresses)))

    def close(self) -> None:
        """Let go of model and communicator."""
        self.streams.close()
        self.transport.close()

    # -- actions ---------------------------------------------------------------------------------

    def _forward(self, action: Action) -> None:
        values = self.receive_activations(action) if action.stage else None
        with self._span(action):
            held = Held([self.inputs_of(action)] if values is None else values)
            key = self._key(action.stage + 1, action)
            is_again = action.stage in self.checkpointed and (action.stage == self.last or key in self.layouts)
            if is_again:
                with torch.no_grad():
                    outputs = self._compute(action, held)
            else:
                outputs = self._compute(action, held)
            if action.stage != self.last and key not in self.layouts:
                self._learn(key, outputs, action)
            if action.stage in self.checkpointed:
                held.drop()
            self.held[self._place(action)] = held
        if action.stage != self.last:
            self.send_activations(action, outputs)

    def _backward(self, action: Action) -> None:
        gradients = self.receive_gradients(action)
        with self._span(action):
            held = self.held[self._place(action)]
            if not held.is_computed:
                with self._unchanged_buffers(action.stage):
                    self._compute(action, held, is_again=True)
            leaves = [value for value in held.inputs if torch.is_tensor(value) and value.requires_grad]
            more, also = self.more_leaves(action), self.more_outputs(action, held)
            outputs = [*held.outputs, *(output for output, _ in also)]
            gradients = [*gradients, *(gradient for _, gradient in also)]
            if action.kind == "BW":
                found = self.differentiate(lambda: backward(outputs, gradients, [*leaves, *more]))
                self.let_go(action)
            else:
                found, held.weights = self.differentiate(
                    lambda: backward_input(outputs, gradients, [*leaves, *more], held.entry)
                )
                held.outputs, held.entry = [], None
                if held.saved is not None:
                    held.saved.drop_after_b()
        self.take_more(more, found[len(leaves) :])
        if action.stage > 0:
            self.send_gradients(action, leaves, found[: len(leaves)])

    def _weights(self, action: Action) -> None:
        with self._span(action):
            held = self.held[self._place(action)]
            if held.saved is not None:
                held.saved.in_w = True
            self.reached |= self.differentiate(held.weights.add)
            if held.saved is not None and held.saved.needed is None:
                self.needed_by_w[self._key(action.stage, action)] = held.saved.used_by_w, len(held.saved.tensors)
            self.let_go(action)

    def differentiate(self, work: Callable):
        """Run a backward pass."""
        return work()

    def let_go(self, action: Action) -> None:
        """Of what a micro-batch has left on a stage."""
        del self.held[self._place(action)]

    @contextlib.contextmanager
    def _span(self, action: Action):
        """Record an action, and let it take its time."""
        with self.recorder.span(str(action), "compute"):
            started = self.recorder.now()
            yield
            if self.pause_s is not None:
                rest = self.pause_s(action) - (self.recorder.now() - started) / 1e9
                pause(self.comm, rest)

    def _forget_step(self) -> None:
        self.held: dict[tuple, Held] = {}
        self.handed: dict[tuple, list] = {}
        self.posted: dict[Action, list] = {}
        self.parts: dict[tuple, float] = {}
        self.num_ahead = 0
        if self.watches_memory:
            self.memory = []


def pause(comm, seconds: float) -> None:
    """Let time pass; on simulated ranks virtual time."""
    if seconds <= 0:
        return
    if is_simulated(comm):
        comm.me.advance_to(comm.me.now + seconds)
    else:
        import time

        time.sleep(seconds)


__all__ = ["Executor", "StepInputs", "pause"]
