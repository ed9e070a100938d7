"""A plan of a run on this machine's own ranks: the mesh, the schedule, and what one process does to find its times."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.gpipe import gpipe
from labkit.training.pipeline.plan import Plan
from labkit.training.pipeline.rules import check_plan
from labkit.training.pipeline.schedules import SCHEDULES, make_plan

DATA_PARALLEL = ("flat", "bucketed", "naive")
NOT_HERE = ("terapipe",)


@dataclass(frozen=True, slots=True)
class OwnPlan:
    """How ranks of this machine share a run.

    Attributes
    ----------
    mesh : Mesh
        Replicas, stages, parts of layers.
    schedule : str
        Of the pipeline: one of :data:`labkit.training.pipeline.schedules.SCHEDULES` without slices of tokens.
    num_chunks : int
        Stages a rank, of ``"interleaved"``.
    data_parallel : str
        Where there are replicas alone: ``"flat"``, ``"bucketed"`` or ``"naive"``, which communicate after the backward
        pass. What hides behind it is not forecast.
    sequence_parallel : bool

    Raises
    ------
    UsageError
        Another schedule or strategy, or chunks without their schedule.

    Examples
    --------
    >>> OwnPlan(Mesh(dp=2)).strategy, OwnPlan(Mesh(tp=2)).strategy, OwnPlan(Mesh(dp=2, pp=2)).strategy
    ('flat', 'tensor_parallel', 'hybrid')
    """

    mesh: Mesh
    schedule: str = "1f1b"
    num_chunks: int = 1
    data_parallel: str = "flat"
    sequence_parallel: bool = False

    def __post_init__(self):
        if not isinstance(self.mesh, Mesh):
            raise UsageError(f"mesh={self.mesh!r:.60} must be a labkit.training.mesh.Mesh: pass Mesh(dp=2), for example.")
        known = [name for name in SCHEDULES if name not in NOT_HERE]
        if self.schedule not in known:
            raise UsageError(f"schedule={self.schedule!r}: the times of these are forecast: {', '.join(known)}.")
        if self.data_parallel not in DATA_PARALLEL:
            raise UsageError(
                f"data_parallel={self.data_parallel!r}: the times of these are forecast: {', '.join(DATA_PARALLEL)}. They "
                "communicate after the backward pass."
            )
        if (self.num_chunks > 1) != (self.schedule == "interleaved") or self.num_chunks < 1:
            raise UsageError(
                f"num_chunks={self.num_chunks} with the schedule {self.schedule!r}: interleaved has 2 chunks a rank or more, "
                "and every other schedule 1."
            )
        if self.schedule == "interleaved" and self.mesh.pp < 2:
            raise UsageError(f"the interleaved schedule needs a pipeline, and pp is {self.mesh.pp}: take pp 2 or more.")

    @property
    def strategy(self) -> str:
        """Of the trainer."""
        mesh = self.mesh
        if mesh.pp == mesh.tp == 1:
            return self.data_parallel
        if mesh.pp == mesh.dp == 1 and not self.sequence_parallel:
            return "tensor_parallel"
        return "hybrid"

    def plan(self, num_microbatches: int) -> Plan:
        """The order of actions of the ranks of a pipeline; of one rank without."""
        if self.mesh.pp == 1:
            return gpipe(1, num_microbatches)
        return make_plan(self.schedule, self.mesh.pp, num_microbatches, num_chunks=self.num_chunks)

    def one_rank_plan(self, num_microbatches: int) -> Plan:
        """All stages on one rank, one after the other, with the same actions: to measure what each takes.

        A stage takes all micro-batches in a row, so that its weights stay in the caches, as on a rank of its own.

        Examples
        --------
        >>> print(OwnPlan(Mesh(pp=2), "zb-h1").one_rank_plan(2))
        alone: ranks 1, stages 2, micro-batches 2
        0: 0F0 0F1 1F0 1B0 1W0 1F1 1B1 1W1 0B0 0W0 0B1 0W1
        """
        plan = self.plan(num_microbatches)
        kinds = ("B", "W") if any(a.kind == "B" for row in plan.actions for a in row) else ("BW",)
        last, order = plan.num_stages - 1, []
        for stage in range(last):
            order += [Action(stage, "F", j) for j in range(num_microbatches)]
        for j in range(num_microbatches):
            order += [Action(last, "F", j), *(Action(last, kind, j) for kind in kinds)]
        for stage in reversed(range(last)):
            order += [Action(stage, kind, j) for j in range(num_microbatches) for kind in kinds]
        return check_plan(Plan("alone", 1, plan.num_stages, num_microbatches, (tuple(order),)))

    def __str__(self) -> str:
        words = [f"{axis} {size}" for axis, size in self.mesh.shape.items() if size > 1] or ["one rank"]
        if self.mesh.pp > 1:
            words.append(self.schedule + (f" with {self.num_chunks} chunks" if self.num_chunks > 1 else ""))
        return ", ".join(words)
