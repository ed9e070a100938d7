"""What a stage of a pipeline does with a micro-batch, as a value with a text form.

====  ==============================================================================================
kind  meaning
====  ==============================================================================================
F     forward: input activations in, output activations out
B     backward for the input: gradient of the output in, gradient of the input out
W     gradient of the weights, from what F and B have left behind
BW    both at once: what a framework's ordinary backward does
====  ==============================================================================================

The text form is stage, kind, micro-batch: ``2F3`` is the forward of micro-batch 3 on stage 2; ``2F3.1`` the same for
slice 1 of its tokens. All numbers count from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.errors import UsageError

KINDS = ("F", "B", "W", "BW")
FORM = re.compile(r"([0-9]{1,9})(F|BW|B|W)([0-9]{1,9})(?:\.([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class Action:
    """One action of a stage on a micro-batch, or on a slice of one.

    Attributes
    ----------
    stage : int
        Counted over the whole model, not over the chunks of one rank.
    kind : str
        One of ``KINDS``.
    microbatch : int
    slice : int or None
        Which part of the tokens (TeraPipe); None for all of them.

    Examples
    --------
    >>> Action.parse("2BW3")
    Action(stage=2, kind='BW', microbatch=3, slice=None)
    >>> str(Action(2, "F", 3, 1))
    '2F3.1'
    """

    stage: int
    kind: str
    microbatch: int
    slice: int | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UsageError(f"an action's kind is one of {', '.join(KINDS)}, not {self.kind!r}: pass one of them.")

    @classmethod
    def parse(cls, text: str) -> Action:
        """The action of a text.

        Raises
        ------
        UsageError
            The text is no action.
        """
        found = FORM.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise UsageError(
                f"an action is written stage, kind (F, B, W or BW), micro-batch, as in 2F3 or 2BW3, and .slice where "
                f"there are slices, as in 2F3.1; {text!r} is not: correct it."
            )
        stage, kind, microbatch, part = found.groups()
        return cls(int(stage), kind, int(microbatch), None if part is None else int(part))

    def __str__(self) -> str:
        text = f"{self.stage}{self.kind}{self.microbatch}"
        return text if self.slice is None else f"{text}.{self.slice}"

    @property
    def is_backward(self) -> bool:
        """Whether it gives the gradient of the stage's input: B or BW."""
        return self.kind in ("B", "BW")
