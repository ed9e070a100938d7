"""A plan of a training run: how ranks share it, and how its steps go."""

from __future__ import annotations

from dataclasses import dataclass, replace

from labkit.errors import UsageError
from labkit.training.mesh import Mesh
from labkit.training.planner.sizes import TransformerSize

SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2")
CHECKPOINTINGS = ("none", "selective", "full")
BYTES = {"mixed": (2, 2, 12), "fp32": (4, 4, 8)}  # of a parameter, its gradient, Adam's state


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a model is trained.

    Attributes
    ----------
    mesh : Mesh
    batch_size : int
        Samples of a step, over all replicas.
    micro_batch_size : int
        Samples that go through the pipeline together.
    schedule : str
        ``"gpipe"``, ``"1f1b"``, ``"interleaved"``, ``"zb-h1"``, ``"zb-h2"``.
    num_chunks : int
        Parts of the model on a rank, of the interleaved schedule.
    zero_stage : int
        0 to 3, over ``dp``.
    precision : str
        ``"mixed"``: 16-bit parameters and gradients, 12 bytes of Adam's state; ``"fp32"``: 4, 4 and 8 bytes.
    checkpointing : str
        ``"none"``: every activation is kept. ``"selective"``: the scores of attention are computed again (or never
        stored, as FlashAttention does). ``"full"``: the inputs of blocks alone are kept.
    sequence_parallel : bool
        Normalisation and dropout are split over ``tp`` as well.

    Examples
    --------
    >>> plan = TrainingPlan(Mesh(dp=2, pp=4), batch_size=64, micro_batch_size=2)
    >>> plan.num_microbatches
    16
    """

    mesh: Mesh
    batch_size: int
    micro_batch_size: int = 1
    schedule: str = "1f1b"
    num_chunks: int = 1
    zero_stage: int = 0
    precision: str = "mixed"
    checkpointing: str = "none"
    sequence_parallel: bool = False

    def __post_init__(self):
        for name, known in (("schedule", SCHEDULES), ("precision", tuple(BYTES)), ("checkpointing", CHECKPOINTINGS)):
            if getattr(self, name) not in known:
                raise UsageError(f"{name}={getattr(self, name)!r}: the known ones are {', '.join(known)}.")
        for name in ("batch_size", "micro_batch_size", "num_chunks"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"{name}={value!r} must be a whole number of at least 1.")
        if self.zero_stage not in (0, 1, 2, 3):
            raise UsageError(f"zero_stage={self.zero_stage!r}: ZeRO has the stages 1, 2 and 3, and 0 is without it.")

    @property
    def replica_samples(self) -> int:
        """Samples of a step that one replica sees."""
        return self.batch_size // self.mesh.dp

    @property
    def num_microbatches(self) -> int:
        return self.replica_samples // self.micro_batch_size

    def with_(self, **changes) -> TrainingPlan:
        """The same plan with other values."""
        return replace(self, **changes)

    def reason_against(self, size: TransformerSize) -> str | None:
        """Why this plan cannot train that model, whatever the memory; None if it can."""
        mesh, num = self.mesh, self.num_microbatches
        if self.batch_size % (mesh.dp * self.micro_batch_size):
            return (
                f"a batch of {self.batch_size} samples does not divide into dp {mesh.dp} x micro-batches of "
                f"{self.micro_batch_size}: choose a multiple of {mesh.dp * self.micro_batch_size}"
            )
        if size.num_heads % mesh.tp:
            return f"{size.num_heads} heads are no multiple of tp {mesh.tp}: choose a divisor of {size.num_heads}"
        if mesh.pp * self.num_chunks > size.num_blocks:
            return (
                f"pp {mesh.pp} x {self.num_chunks} chunks need {mesh.pp * self.num_chunks} blocks and there are "
                f"{size.num_blocks}: choose fewer stages"
            )
        if mesh.pp > 1 and num < mesh.pp:
            return (
                f"{num} micro-batches for {mesh.pp} stages: with fewer micro-batches than stages some stage always idles; "
                f"choose smaller micro-batches, a larger batch, or a shorter pipeline"
            )
        if self.schedule == "interleaved" and (self.num_chunks < 2 or mesh.pp < 2 or num % mesh.pp):
            return (
                f"the interleaved schedule needs 2 chunks or more, 2 stages or more and micro-batches in multiples of pp, "
                f"not {self.num_chunks}, {mesh.pp} and {num}"
            )
        if self.schedule != "interleaved" and self.num_chunks > 1:
            return f"{self.num_chunks} chunks a rank belong to the interleaved schedule, not to {self.schedule}"
        if self.zero_stage >= 2 and mesh.pp > 1:
            return (
                f"ZeRO stage {self.zero_stage} with pp {mesh.pp}: gradients of every micro-batch would be reduced and "
                f"parameters gathered again each time; take stage 1 with a pipeline"
            )
        return None

    def check(self, size: TransformerSize) -> None:
        """Raise :class:`UsageError` with that reason."""
        reason = self.reason_against(size)
        if reason:
            raise UsageError(f"{self}: {reason}.")

    def __str__(self) -> str:
        words = [str(self.mesh), f"micro-batch {self.micro_batch_size}"]
        if self.mesh.pp > 1:
            chunks = f" with {self.num_chunks} chunks" if self.num_chunks > 1 else ""
            words.append(f"{self.schedule}{chunks}")
        if self.zero_stage:
            words.append(f"ZeRO-{self.zero_stage}")
        if self.checkpointing != "none":
            words.append(f"{self.checkpointing} checkpointing")
        if self.sequence_parallel:
            words.append("sequence parallel")
        if self.precision != "mixed":
            words.append(self.precision)
        return ", ".join(words)
