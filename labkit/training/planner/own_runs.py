"""Step times of our own trainer on this machine: forecast from one process and the network, and measured on ranks.

1. One process does what a rank of the run does, while the other cores are as busy: what each stage, the optimizer and the
   rest take (:mod:`.own_program`, with :mod:`.pretended` messages).
2. Ranks exchange messages and sums of several sizes: the network, and what a rank that waits takes of a core.
3. The plan's schedule is simulated with these times on the cores that there are (:mod:`.own_step`, :mod:`.on_cores`).
4. The run itself, on ranks.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import run_mpi
from labkit.training.pipeline.checks import whole_number
from labkit.training.planner.own_costs import ComputeCosts, NetworkCosts
from labkit.training.planner.own_plan import OwnPlan
from labkit.training.planner.own_step import OwnStep, predict_step

PROGRAM = Path(__file__).with_name("own_program.py")
MOST_RANKS = 16
LEAST_STEPS = 4  # the first three are not counted
DEADLINE_S = 240.0


@dataclass(frozen=True)
class OwnRun:
    """A forecast beside what was measured.

    Attributes
    ----------
    plan : OwnPlan
    num_cores : int
    predicted, measured : OwnStep
    steps_s : tuple of float
        All measured steps.
    compute : ComputeCosts
    network : NetworkCosts
    """

    plan: OwnPlan
    num_cores: int
    predicted: OwnStep
    measured: OwnStep
    steps_s: tuple[float, ...]
    compute: ComputeCosts
    network: NetworkCosts

    @property
    def ratio(self) -> float:
        """Predicted over measured step."""
        return self.predicted.step_s / self.measured.step_s

    def __str__(self) -> str:
        lines = [
            f"{self.plan} on {self.num_cores} cores: a step takes {self.predicted.step_s * 1e3:.3g} ms by forecast, "
            f"{self.measured.step_s * 1e3:.3g} ms measured ({self.ratio:.2f} times)"
        ]
        for name, seconds in self.predicted.parts().items():
            lines.append(f"  {name:14} {seconds * 1e3:8.3g} ms   {self.measured.parts()[name] * 1e3:8.3g} ms")
        return "\n".join(lines)


def predict_and_measure(
    model, data, options, plan: OwnPlan, *, num_steps: int = 6, num_turns: int = 3, num_cores: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> OwnRun:
    """Forecast a step of a run on ranks of this machine, and run it.

    Parameters
    ----------
    model : torch.nn.Module
        Of :mod:`labkit.training.models`, or any that the strategy takes and ``pickle`` can carry. It is not trained.
    data : DataSet
    options : TrainingOptions
        ``batch_size`` is the whole batch, ``num_micro_batches`` that of each replica.
    plan : OwnPlan
    num_steps : int
        Of each measurement, at least 4: the first three are not counted.
    num_turns : int
        One process and the ranks are measured in turn, so often; the median of the quickest turn counts.
    num_cores : int, optional
        Those that this process may use, without.
    progress : callable, optional
        Called a few times a second with a text; what it raises ends the ranks and is raised here.

    Returns
    -------
    OwnRun

    Raises
    ------
    UsageError
        A plan that this model or batch cannot have.
    NotAvailableError
        No MPI here, or the ranks failed.

    Notes
    -----
    Right on a quiet machine: whoever else computes takes cores from the one measurement or the other.
    """
    found, cores = _measure(model, data, options, plan, num_steps, num_turns, num_cores, progress, runs=True)
    compute, network = ComputeCosts(**found["compute"]), NetworkCosts(**found["network"])
    predicted = predict_step(plan.plan(options.num_micro_batches), plan.mesh, compute, network, cores)
    measured, steps = measured_step(found["steps"])
    return OwnRun(plan, cores, predicted, measured, steps, compute, network)


def measure_costs(
    model, data, options, plan: OwnPlan, *, num_steps: int = 6, num_turns: int = 3, num_cores: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[ComputeCosts, NetworkCosts]:
    """What :func:`predict_and_measure` forecasts from, without the run itself. Parameters and errors as there."""
    found, _ = _measure(model, data, options, plan, num_steps, num_turns, num_cores, progress, runs=False)
    return ComputeCosts(**found["compute"]), NetworkCosts(**found["network"])


def measured_step(turns: Sequence[Sequence[Sequence[Sequence[float]]]]) -> tuple[OwnStep, tuple[float, ...]]:
    """(The median step of the quickest turn, with the parts of the rank that computes longest; all steps).

    Parameters
    ----------
    turns : sequence
        By turn, rank and step: seconds of the step, computing, waiting, communication, optimizer and the rest.

    Examples
    --------
    >>> quick = [[(1.0, 0.5, 0.2, 0.2, 0.1)], [(1.1, 0.8, 0.1, 0.1, 0.1)]]
    >>> step, steps = measured_step([quick, [[(3.0, 2.0, 0.5, 0.3, 0.2)], [(2.9, 2.0, 0.4, 0.3, 0.2)]]])
    >>> step.step_s, step.compute_s, steps
    (1.1, 0.8, (1.1, 3.0))
    """
    turns = np.array(turns)  # (turns, ranks, steps, parts)
    every = turns[..., 0].max(axis=1)  # of each step the slowest rank: (turns, steps)
    quiet = int(np.argmin(np.median(every, axis=1)))
    values, steps = turns[quiet], every[quiet]
    rank = int(np.argmax(np.median(values[:, :, 1], axis=1)))
    total, *parts = np.median(values[rank], axis=0)
    step = float(np.median(steps))
    parts = np.array(parts) * (step / max(sum(parts), 1e-12))  # medians of parts are not the parts of a median
    return OwnStep(*(float(part) for part in parts), step), tuple(every.ravel().tolist())


def _measure(model, data, options, plan, num_steps, num_turns, num_cores, progress, *, runs: bool) -> tuple[dict, int]:
    whole_number("num_steps", num_steps, LEAST_STEPS)
    whole_number("num_turns", num_turns, 1)
    cores = _cores(num_cores)
    check_run(model, data, options, plan)
    values = {
        "model": model, "data": data, "options": options, "plan": plan, "num_steps": num_steps, "num_turns": num_turns,
        "num_cores": cores, "runs": runs,
    }
    words = f"{plan.mesh.size} rank{'s' if plan.mesh.size > 1 else ''} {'train' if runs else 'compute and talk'}"
    look = None if progress is None else lambda: progress(f"{words} ...")
    with tempfile.TemporaryDirectory(prefix="labkit-run-") as folder:
        path = Path(folder) / "case.pickle"
        try:
            path.write_bytes(pickle.dumps(values))
        except Exception as error:
            raise UsageError(
                f"model and data go to other processes, and pickle cannot carry them: {type(error).__name__}: {error}. Take a "
                "model of labkit.training.models, or put its class into a module."
            ) from error
        output = run_mpi([str(PROGRAM), str(path)], plan.mesh.size, DEADLINE_S, look)
    lines = [line for line in output.splitlines() if line.startswith("{")]
    if not lines:
        raise NotAvailableError(f"{words}: they ended without an answer; labkit doctor looks for the cause.")
    return json.loads(lines[-1]), cores


def check_run(model, data, options, plan: OwnPlan) -> None:
    """Refuse here what the ranks would refuse: the trainer is made as on a rank, for no step."""
    from labkit.training.planner.own_program import make_trainer
    from labkit.training.planner.pretended import Pretended, PretendedMesh

    mesh = plan.mesh
    if mesh.size > MOST_RANKS:
        raise UsageError(
            f"{mesh} has {mesh.size} ranks, and at most {MOST_RANKS} are started on one machine: take fewer."
        )
    if options.batch_size < mesh.dp * options.num_micro_batches:
        raise UsageError(
            f"a batch of {options.batch_size} samples for dp {mesh.dp} x {options.num_micro_batches} micro-batches: each needs "
            f"a sample or more. Take a batch of {mesh.dp * options.num_micro_batches} or more, or fewer micro-batches."
        )
    plan.plan(options.num_micro_batches)
    case = {"model": model, "data": data, "options": options, "plan": plan}
    pretended = PretendedMesh(mesh.dp, mesh.pp, mesh.tp, mesh.order)
    make_trainer(Pretended(mesh.size), case, pretended, plan.one_rank_plan(options.num_micro_batches)).close()


def _cores(num_cores: int | None) -> int:
    if num_cores is not None:
        return whole_number("num_cores", num_cores, 1)
    from labkit.hardware.topology import detect_topology

    return detect_topology().num_usable
