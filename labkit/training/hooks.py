"""What a trainer calls between steps: checkpoints, pictures of the curve so far, injected faults."""

from __future__ import annotations


class TrainingHook:
    """Does nothing; override what you need. All methods are called on all ranks, in the same order.

    A hook that raises on one rank stops training on all of them, at the next step at the latest.
    """

    def at_start(self, trainer) -> None:
        """The strategy is attached, the state loaded; no step has been made."""

    def after_step(self, trainer, record) -> None:
        """``record`` is a :class:`labkit.training.step.StepRecord`; ``trainer.num_done`` counts this step already."""

    def on_stop(self, trainer, error: Exception) -> None:
        """Training stops with ``error``; parameters and optimizer are those of before the step that failed."""

    def at_end(self, trainer) -> None:
        """All steps are done."""
