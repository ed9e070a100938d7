"""A pipeline whose layers are divided: a rank talks to the stages beside it, and inside a layer to its other parts.

All parts of a stage run the same plan, so their collectives come in the same order. If a rank fails, both sides have to
hear of it: the other parts of the layer at their next meeting, the other stages by a notice; and each of them tells on
what it has heard.
"""

from __future__ import annotations

from labkit.training.in_pass import Desk, PeerFailedError
from labkit.training.pipeline.execute import Executor, StepInputs
from labkit.training.recording import is_simulated
from labkit.training.tensor_parallel.group import ParallelGroup


class HybridExecutor(Executor):
    """An :class:`~labkit.training.pipeline.execute.Executor` of stages that are divided over a group.

    Parameters
    ----------
    group : ParallelGroup
        Of this rank's part of the layers; of one rank, if they are whole.
    arguments, settings
        As for the executor.
    """

    def __init__(self, *arguments, group: ParallelGroup, **settings):
        self.group = group
        super().__init__(*arguments, **settings)
        self.takes_turns = group.size > 1 and is_simulated(group.comm)
        if self.takes_turns:  # torch keeps watchers by thread, and simulated ranks share one
            self.is_split = False

    @property
    def watches_memory(self) -> bool:
        return self._watches_memory and not getattr(self, "takes_turns", False)

    @watches_memory.setter
    def watches_memory(self, value: bool) -> None:
        self._watches_memory = value

    def run(self, given: StepInputs) -> float:
        self._forget_step()
        self.given, failure, is_broken_off = given, None, False
        self.group.begin()
        try:
            for position, action in enumerate(self.actions):
                self._post_receives(position)
                self.act(action)
                self.transport.tidy()
            self.group.close(is_last=True)
        except PeerFailedError:
            is_broken_off = True
        except Exception as error:
            failure = error
        if failure is not None or is_broken_off:
            self.group.leave()
        self.close_step(failure, is_broken_off)
        return sum((self.parts[key] for key in sorted(self.parts)), 0.0)

    def close_step(self, failure: Exception | None, is_broken_off: bool = False) -> None:
        if not is_broken_off:
            super().close_step(failure)
            return
        self.transport.fail()
        try:
            self.transport.close_step(True)
        except PeerFailedError:
            self._forget_step()
            self.layouts = {}
        raise PeerFailedError("another rank failed in this step")

    def differentiate(self, work):
        if not self.takes_turns:
            return work()
        found = []
        Desk().run(lambda: found.append(work()))
        return found[0]
