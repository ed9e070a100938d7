"""A pipeline schedule as a value: what each rank does, in its order, before anything runs.

A plan has no times. When an action runs follows from the order of its rank and from what it needs of others
(``dependencies.py``), so one plan serves the rules, the simulation, the picture and the run on real ranks.

The text form has a line of sizes and then a line a rank::

    1f1b: ranks 2, stages 2, micro-batches 2
    0: 0F0 0F1 0BW0 0BW1
    1: 1F0 1BW0 1F1 1BW1

With ``slices N`` each action ends in its slice; ``placement 0 1 1 0`` gives the rank of each stage where it is not
stage modulo ranks. Empty lines and lines that begin with # are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.checks import whole_number

HEAD = re.compile(
    r"(?P<name>[^\s:#][^\s:]*): ranks (?P<ranks>\d{1,9}), stages (?P<stages>\d{1,9})"
    r", micro-batches (?P<microbatches>\d{1,9})"
    r"(?:, slices (?P<slices>\d{1,9}))?(?:, placement (?P<placement>\d{1,9}(?: \d{1,9})*))?"
)


@dataclass(frozen=True)
class Plan:
    """The order of actions of each rank.

    Attributes
    ----------
    name : str
        Of the schedule: no spaces, no colon.
    num_ranks : int
    num_stages : int
        At least ``num_ranks``: a rank with several stages (model chunks) has an interleaved schedule.
    num_microbatches : int
    actions : tuple of tuple of Action
        By rank, in order. Whether they are right says :func:`~labkit.training.pipeline.rules.check_plan`.
    num_slices : int
        Slices of the tokens of each micro-batch; with 1, actions name no slice.
    rank_of_stage : tuple of int
        The rank of each stage; left out: stage modulo ``num_ranks``, as in interleaved schedules.

    Raises
    ------
    UsageError
        Sizes that do not fit together.

    Examples
    --------
    >>> plan = Plan.parse("mine: ranks 1, stages 1, micro-batches 2\\n0: 0F0 0F1 0BW0 0BW1")
    >>> plan.actions[0][2]
    Action(stage=0, kind='BW', microbatch=0, slice=None)
    >>> Plan.parse(plan.text()) == plan
    True
    """

    name: str
    num_ranks: int
    num_stages: int
    num_microbatches: int
    actions: tuple[tuple[Action, ...], ...]
    num_slices: int = 1
    rank_of_stage: tuple[int, ...] = ()

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name or re.search(r"[\s:]", self.name) or self.name[0] == "#":
            raise UsageError(f"a plan's name is a word without spaces and colons, not {self.name!r}: pass one.")
        for field in ("num_ranks", "num_stages", "num_microbatches", "num_slices"):
            object.__setattr__(self, field, whole_number(field, getattr(self, field), 1))
        if self.num_stages < self.num_ranks:
            raise UsageError(
                f"every rank has a stage, but there are {self.num_stages} stages for {self.num_ranks} ranks: "
                f"take at most {self.num_stages} ranks, or cut the model into more stages."
            )
        places = tuple(self.rank_of_stage) or tuple(stage % self.num_ranks for stage in range(self.num_stages))
        if len(places) != self.num_stages or set(places) != set(range(self.num_ranks)):
            raise UsageError(
                f"rank_of_stage gives one of the ranks 0 to {self.num_ranks - 1} for each of {self.num_stages} stages, "
                f"and leaves none without, but it is {places}: correct it, or leave it out."
            )
        object.__setattr__(self, "rank_of_stage", places)
        actions = tuple(tuple(of_rank) for of_rank in self.actions)
        if len(actions) != self.num_ranks:
            raise UsageError(
                f"a plan has one list of actions a rank, but there are {len(actions)} for {self.num_ranks} ranks: "
                "pass an empty one for a rank that has nothing to do."
            )
        object.__setattr__(self, "actions", actions)

    @property
    def num_actions(self) -> int:
        return sum(map(len, self.actions))

    def stages_of(self, rank: int) -> tuple[int, ...]:
        """The stages that lie on ``rank``, in order."""
        return tuple(stage for stage, place in enumerate(self.rank_of_stage) if place == rank)

    def text(self) -> str:
        """The plan as text, a line a rank; :meth:`parse` reads it back."""
        head = (
            f"{self.name}: ranks {self.num_ranks}, stages {self.num_stages}, micro-batches {self.num_microbatches}"
        )
        if self.num_slices > 1:
            head += f", slices {self.num_slices}"
        if self.rank_of_stage != tuple(stage % self.num_ranks for stage in range(self.num_stages)):
            head += ", placement " + " ".join(map(str, self.rank_of_stage))
        lines = (" ".join([f"{rank}:", *map(str, of_rank)]) for rank, of_rank in enumerate(self.actions))
        return "\n".join([head, *lines])

    __str__ = text

    @classmethod
    def parse(cls, text: str) -> Plan:
        """The plan of a text.

        Raises
        ------
        UsageError
            The text is no plan; the message names the line.
        """
        lines = [(number, line.strip()) for number, line in enumerate(str(text).splitlines(), 1)]
        lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
        found = HEAD.fullmatch(lines[0][1]) if lines else None
        if found is None:
            raise UsageError(
                "a plan's text begins with a line such as '1f1b: ranks 2, stages 2, micro-batches 4', not "
                f"{lines[0][1] if lines else ''!r:.120}: add one."
            )
        num_ranks = int(found["ranks"])
        if len(lines) - 1 != num_ranks:
            raise UsageError(
                f"a plan's text has a line a rank, but {len(lines) - 1} lines follow '{lines[0][1]:.120}': "
                "add or remove some."
            )
        actions = []
        for rank, (number, line) in enumerate(lines[1:]):
            first, *words = line.split()
            if first != f"{rank}:":
                raise UsageError(
                    f"line {number} of a plan's text holds rank {rank} and begins with '{rank}:', not {first!r:.40}: "
                    "correct it."
                )
            actions.append(_actions(words, number))
        return cls(
            found["name"], num_ranks, int(found["stages"]), int(found["microbatches"]), tuple(actions),
            int(found["slices"] or 1), tuple(map(int, (found["placement"] or "").split())),
        )


def _actions(words: Iterable[str], number: int) -> tuple[Action, ...]:
    actions = []
    for word in words:
        try:
            actions.append(Action.parse(word))
        except UsageError as error:
            raise UsageError(f"line {number} of a plan's text: {error}") from None
    return tuple(actions)
