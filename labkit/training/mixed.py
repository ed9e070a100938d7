"""Mixed precision: forward and backward in 16 bits where torch's autocast allows it, everything that lasts in 32.

The parameters stay fp32 (the *master weights*), and so do gradients, optimizer and what is sent; autocast casts weights
and values on their way into products of matrices and convolutions.

fp16 ends at 65504 and has nothing below 6e-8: gradients below it become 0. So the loss is multiplied by a *scale*
before backward and the gradients divided by it after they were added up over the ranks.
If one overflows on any rank, so does
the sum on every rank: all leave the step out and make the scale smaller, and the replicas stay equal. bf16 has the
range of fp32 and fewer digits: it needs no scale.

On a CPU without instructions for bf16 or fp16 both are slower than fp32 (bf16 2.6 times on the cores that labkit was
written on): there, mixed precision is for learning about it. GPUs with tensor cores are faster, and hold half the bytes
of activations.

References
----------
P. Micikevicius et al., Mixed precision training, ICLR 2018.
"""

from __future__ import annotations

import torch

from labkit.errors import NonFiniteError, UsageError
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling
from labkit.training.options import TrainingOptions
from labkit.training.step import Precision

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
FP16_SCALING = LossScaling(2.0**16, is_dynamic=True, growth_interval=200)
HOPELESS_SCALE = 2.0**-24  # gradients that overflow even so are infinite without any scale


class MixedPrecision(Precision):
    """Autocast to 16 bits, and a scale of the loss.

    Parameters
    ----------
    dtype : torch.dtype
        ``torch.float16`` or ``torch.bfloat16``.
    scaling : LossScaling, optional
        A fixed scale or one that follows; none without it. With one, a step whose gradients overflow is left out.

    Attributes
    ----------
    loss_scale : float
        Of the next step.
    num_good_steps : int
        Since the scale last changed.
    num_skipped : int
    """

    def __init__(self, dtype: torch.dtype, scaling: LossScaling | None = None):
        self.dtype, self.scaling = dtype, scaling
        self.loss_scale, self.skips_overflow = (1.0, False) if scaling is None else (float(scaling.scale), True)
        self.num_good_steps = self.num_skipped = 0

    def cast(self, device):
        return torch.autocast(torch.device(device).type, dtype=self.dtype)

    def after_gradients(self, is_finite: bool) -> bool:
        """Whether the step is taken; the scale of the next one by the rules of :class:`LossScaling`.

        Raises
        ------
        NonFiniteError
            The gradients overflow though the scale is tiny: it is not the scale that makes them infinite.

        Examples
        --------
        >>> precision = MixedPrecision(torch.float16, LossScaling(1024.0, is_dynamic=True, growth_interval=2))
        >>> precision.after_gradients(False), precision.loss_scale
        (False, 512.0)
        >>> [(precision.after_gradients(True), precision.loss_scale) for _ in range(2)]
        [(True, 512.0), (True, 1024.0)]
        """
        if self.scaling is None:
            return True
        if not is_finite and self.scaling.is_dynamic and self.loss_scale <= HOPELESS_SCALE:
            raise NonFiniteError(
                f"the gradients are not finite at a loss scale of {self.loss_scale:g} either, after {self.num_skipped} "
                "steps that were left out. Train a few steps with precision='fp32' to find where they come from, or "
                "lower learning_rate."
            )
        self.loss_scale, self.num_good_steps = self.scaling.next(
            self.loss_scale, self.num_good_steps, overflowed=not is_finite
        )
        self.num_skipped += not is_finite
        return is_finite

    def state_dict(self) -> dict:
        return {
            "loss_scale": self.loss_scale, "num_good_steps": self.num_good_steps, "num_skipped": self.num_skipped,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from there; a state of fp32, which is empty, changes nothing."""
        if state:
            self.loss_scale = float(state["loss_scale"])
            self.num_good_steps, self.num_skipped = int(state["num_good_steps"]), int(state["num_skipped"])


def make_precision(options: TrainingOptions, device) -> Precision:
    """What a run with these options computes in.

    Parameters
    ----------
    options : TrainingOptions
        ``precision`` and ``loss_scaling``; fp16 without the latter is scaled dynamically from 2**16 on.
    device : torch.device or str

    Examples
    --------
    >>> make_precision(TrainingOptions(precision="fp16"), "cpu").loss_scale
    65536.0
    >>> make_precision(TrainingOptions(precision="bf16"), "cpu").loss_scale
    1.0
    """
    if options.precision == "fp32":
        return Precision()
    scaling = options.loss_scaling
    if scaling is None and options.precision == "fp16":
        scaling = FP16_SCALING
    if torch.device(device).type not in ("cpu", "cuda"):
        raise UsageError(
            f"precision={options.precision!r} works on a CPU or an NVIDIA GPU, not on {device}: use precision='fp32'."
        )
    return MixedPrecision(DTYPES[options.precision], scaling)
