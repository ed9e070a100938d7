"""The memory of a device by kind: parameters, gradients, optimizer, activations.

Activations are counted as Korthikanti and others do: in 16 bits a block keeps ``s b h (10 + 24 / t + 5 a s / (h t))``
bytes of a micro-batch (b samples, t parts); with sequence parallelism all of it is divided by t; without the scores of
attention the last term goes; with full checkpointing 2 s b h are left, and one block at a time is whole.

References
----------
Korthikanti and others: Reducing activation recomputation in large transformer models, MLSys 2023 (arXiv 2205.05198),
table 2 and section 4.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.training.planner.plan import BYTES, TrainingPlan
from labkit.training.planner.sizes import TransformerSize
from labkit.training.scale.zero_table import zero_memory

KINDS = ("parameters", "gradients", "optimizer", "activations")


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Bytes of a rank of one stage.

    Attributes
    ----------
    stage : int
    parameters_bytes, gradients_bytes, optimizer_bytes, activations_bytes : float
    num_in_flight : float
        Micro-batches whose activations are kept at once, at most.
    """

    stage: int
    parameters_bytes: float
    gradients_bytes: float
    optimizer_bytes: float
    activations_bytes: float
    num_in_flight: float

    @property
    def total_bytes(self) -> float:
        return self.parameters_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes

    def by_kind(self) -> dict[str, float]:
        """Bytes of each of :data:`KINDS`."""
        return {kind: getattr(self, f"{kind}_bytes") for kind in KINDS}


def block_activation_bytes(size: TransformerSize, plan: TrainingPlan) -> float:
    """What a block keeps of one micro-batch for the backward pass.

    Examples
    --------
    The 22 B model of the paper, without recomputation, tensor parallel on 8:

    >>> from labkit.training.mesh import Mesh
    >>> size = TransformerSize(48, 6144, 64, length=2048)
    >>> plan = TrainingPlan(Mesh(tp=8), batch_size=4, micro_batch_size=4)
    >>> round(block_activation_bytes(size, plan) / (2048 * 4 * 6144), 2)
    26.33
    """
    tokens, tp = size.length * plan.micro_batch_size * size.width, plan.mesh.tp
    item = BYTES[plan.precision][0] / 2  # 1 in 16 bits; masks of dropout stay bytes, which this overlooks
    if plan.checkpointing == "full":
        return 2 * tokens * item / (tp if plan.sequence_parallel else 1)
    scores = 5 * size.num_heads * size.length / size.width if plan.checkpointing == "none" else 0.0
    whole = 10 / tp if plan.sequence_parallel else 10
    return tokens * item * (whole + (24 + scores) / tp)


def in_flight(plan: TrainingPlan, stage: int) -> float:
    """Micro-batches of which a stage keeps the activations at once, at most.

    Examples
    --------
    >>> from labkit.training.mesh import Mesh
    >>> plan = TrainingPlan(Mesh(pp=4), batch_size=16)
    >>> [in_flight(plan, stage) for stage in range(4)], in_flight(plan.with_(schedule="gpipe"), 3)
    ([4, 3, 2, 1], 16)
    """
    num, pp, chunks = plan.num_microbatches, plan.mesh.pp, plan.num_chunks
    if plan.schedule == "gpipe":
        return num
    if plan.schedule == "interleaved":  # warm-up of Megatron-LM's schedule, and the one that runs
        return min(num * chunks, 2 * (pp - stage - 1) + (chunks - 1) * pp + 1) / chunks
    if plan.schedule == "zb-h2":
        return min(num, 2 * (pp - stage) - 1)
    return min(num, pp - stage)


def memory_forecast(size: TransformerSize, plan: TrainingPlan) -> tuple[StageMemory, ...]:
    """What the ranks of each stage hold; the largest decides whether the plan fits.

    Parameters
    ----------
    size : TransformerSize
    plan : TrainingPlan

    Raises
    ------
    UsageError
        The plan cannot train this model.

    Examples
    --------
    >>> from labkit.training.mesh import Mesh
    >>> size = TransformerSize(36, 4096, 32)
    >>> plan = TrainingPlan(Mesh(tp=4), batch_size=1, checkpointing="full")
    >>> {kind: f"{n / 1e9:.1f}" for kind, n in memory_forecast(size, plan)[0].by_kind().items()}
    {'parameters': '3.7', 'gradients': '3.7', 'optimizer': '22.5', 'activations': '1.1'}
    """
    plan.check(size)
    return tuple(_stage_memory(size, plan, stage) for stage in range(plan.mesh.pp))


def _stage_memory(size: TransformerSize, plan: TrainingPlan, stage: int) -> StageMemory:
    parameter, gradient, optimizer = BYTES[plan.precision]
    states = zero_memory(
        size.stage_parameters(stage, plan.mesh.pp, plan.mesh.tp), plan.mesh.dp, plan.zero_stage,
        parameter_bytes=parameter, gradient_bytes=gradient, optimizer_bytes=optimizer,
    )
    num = in_flight(plan, stage)
    activations = num * size.blocks_of_stage(stage, plan.mesh.pp) * block_activation_bytes(size, plan)
    if plan.checkpointing == "full":  # the block whose backward pass runs has all of its activations
        activations += block_activation_bytes(size, plan.with_(checkpointing="none"))
    tokens = size.length * plan.micro_batch_size
    item = BYTES[plan.precision][0] / 2
    if stage == 0:  # the mask of the dropout after the embedding
        activations += num * tokens * size.width * item / (plan.mesh.tp if plan.sequence_parallel else 1)
    if stage == plan.mesh.pp - 1:  # the last normalisation, the last product's input, logits in 32 bits
        shared = plan.mesh.tp if plan.sequence_parallel else 1
        activations += 4 * tokens * size.width * item / shared + 4 * tokens * size.num_tokens / plan.mesh.tp
    return StageMemory(
        stage, states.parameters_bytes, states.gradients_bytes, states.optimizer_bytes, activations, num
    )


def peak_bytes(size: TransformerSize, plan: TrainingPlan) -> float:
    """The most that a device holds; looks at three stages only, of which one holds the most.

    The first has the embedding and most micro-batches in flight, the last has the logits, and of the others the second
    has most micro-batches in flight and as many blocks as any.
    """
    plan.check(size)
    last = plan.mesh.pp - 1
    return max(_stage_memory(size, plan, stage).total_bytes for stage in {0, min(1, last), last})
