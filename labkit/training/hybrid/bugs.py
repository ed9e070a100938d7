"""Known slips of hybrid training, which the comparison with one process must find.

Those of a pipeline and of divided layers are in :mod:`labkit.training.pipeline.bugs` and
:mod:`labkit.training.tensor_parallel.bugs`; these come from putting them together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labkit.training.hybrid.strategy import Hybrid
from labkit.training.strategies import make_strategy


@dataclass(frozen=True)
class Bug:
    """A strategy with a slip.

    Attributes
    ----------
    summary : str
    strategy : callable
        ``strategy(mesh, **settings)`` makes it.
    axis : str
        The slip shows if this axis is longer than 1.
    """

    summary: str
    strategy: Callable
    axis: str


class ReplicasForgotten(Hybrid):
    def finish_backward(self) -> None:
        super(Hybrid, self).finish_backward()
        self.add_parts()


class WrongGroup(Hybrid):
    """Adds gradients up in the wrong group: this rank alone."""

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        super().attach(comm, model, optimizer_factory, options, recorder)
        self.over_replicas.detach()
        self.over_replicas = make_strategy("flat")
        self.over_replicas.attach(comm.Split(comm.rank, 0), self.own, optimizer_factory, options, recorder)


class TiedForgotten(Hybrid):
    def add_tied(self) -> None:
        pass


class RowsForgotten(Hybrid):
    def add_parts(self) -> None:
        pass


class SameSamples(Hybrid):
    """Every replica takes the samples of the first one."""

    def replicas(self, comm) -> tuple[int, int]:
        num, _ = super().replicas(comm)
        return num, 0


BUGS: dict[str, Bug] = {
    "replicas_forgotten": Bug("gradients are never added up over the replicas", ReplicasForgotten, "dp"),
    "wrong_group": Bug("gradients are added up in a group of one rank instead of the replicas", WrongGroup, "dp"),
    "same_samples": Bug("all replicas train on the samples of the first", SameSamples, "dp"),
    "tied_forgotten": Bug("the embedding on the last stage gets the last stage's gradient alone", TiedForgotten, "pp"),
    "rows_forgotten": Bug(
        "with sequence parallelism, norms get the gradient of the rank's own rows alone", RowsForgotten, "tp"
    ),
}

