"""Values between the stages of a plan: what is sent where, under which tag, and received when.

The shapes of what goes over a boundary are learned at its first micro-batch of a size, and told to the rank behind it
before the first message; from then on receives are started before they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from labkit.errors import UsageError
from labkit.training.pipeline.actions import Action
from labkit.training.pipeline.transport import FIRST_TAG

AHEAD = 2  # receives that are started before their actions
MOST_VALUES = 63  # over one boundary


@dataclass(frozen=True)
class Layout:
    """What goes over a boundary between two stages: of each value its shape and type, or None if it is no tensor."""

    shapes: tuple[tuple[int, ...] | None, ...]
    dtypes: tuple[torch.dtype | None, ...]
    wants_gradient: tuple[bool, ...]

    @classmethod
    def of(cls, values) -> Layout:
        is_tensor = [torch.is_tensor(value) for value in values]
        return cls(
            tuple(tuple(v.shape) if t else None for v, t in zip(values, is_tensor, strict=True)),
            tuple(v.dtype if t else None for v, t in zip(values, is_tensor, strict=True)),
            tuple(t and v.requires_grad for v, t in zip(values, is_tensor, strict=True)),
        )


class Exchange:
    """The part of an :class:`.execute.Executor` that hands values over. It has ``plan``, ``rank``, ``transport``,
    ``recorder``, ``actions``, ``given``; and of this step ``handed``, ``posted``, ``num_ahead``; of all ``layouts``."""

    def receive_activations(self, action: Action) -> list:
        """What comes into a stage from the one before, as leaves."""
        key = self._key(action.stage, action)
        values = self._receive(action, "F", self.plan.rank_of_stage[action.stage - 1], key, gradients=False)
        flags = self.layouts[key].wants_gradient
        return [
            value.detach().requires_grad_(flag) if torch.is_tensor(value) else value
            for value, flag in zip(values, flags, strict=True)
        ]

    def send_activations(self, action: Action, values: list) -> None:
        """What goes out of a stage."""
        values = [value.detach() if torch.is_tensor(value) else value for value in values]
        self._send(action, "F", self.plan.rank_of_stage[action.stage + 1], action.stage + 1, values)

    def receive_gradients(self, action: Action) -> list:
        """Of the outputs that want one; None for the loss."""
        if action.stage == self.last:
            return [None]
        key = self._key(action.stage + 1, action)
        return self._receive(action, "B", self.plan.rank_of_stage[action.stage + 1], key, gradients=True)

    def send_gradients(self, action: Action, leaves: list, found: list) -> None:
        """Of the inputs that want one."""
        values = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]
        self._send(action, "B", self.plan.rank_of_stage[action.stage - 1], action.stage, values)

    def _learn(self, key: tuple, values: list, action: Action) -> None:
        """The layout of a boundary; the rank behind it is told before the first message."""
        self.layouts[key] = layout = Layout.of(values)
        if len(values) > MOST_VALUES:
            raise UsageError(
                f"{len(values)} values go from stage {action.stage} to the next, at most {MOST_VALUES} can: cut "
                "elsewhere."
            )
        dest = self.plan.rank_of_stage[action.stage + 1]
        if dest != self.rank:
            self.transport.send_object(dest, self._tag(action.stage + 1, "F", action, 0), layout)

    def _send(self, action: Action, kind: str, dest: int, boundary: int, values: list) -> None:
        if dest == self.rank:
            self.handed[(kind, boundary, *self._place(action)[1:])] = values
            return
        others = [value for value in values if not torch.is_tensor(value)]
        if others:
            self.transport.send_object(dest, self._tag(boundary, kind, action, 0), others)
        for number, value in enumerate(values):
            if torch.is_tensor(value):
                self.transport.send(dest, self._tag(boundary, kind, action, number + 1), value)

    def _receive(self, action: Action, kind: str, source: int, key: tuple, *, gradients: bool) -> list:
        boundary = key[0]
        if source == self.rank:
            return self.handed.pop((kind, boundary, *self._place(action)[1:]))
        with self.recorder.span(f"wait for {action}", "wait"):
            if key not in self.layouts:
                self.layouts[key] = self.transport.receive_object(source, self._tag(boundary, kind, action, 0))
            posted = self.posted.pop(action, None) or self._post(action, kind, source, key, gradients)
            layout, others = self.layouts[key], []
            if not gradients and None in layout.shapes:
                others = self.transport.receive_object(source, self._tag(boundary, kind, action, 0))
            values = [receive.wait() for receive in posted]
        if not others:
            return values
        values, others = iter(values), iter(others)
        return [next(others if shape is None else values) for shape in layout.shapes]

    def _post(self, action: Action, kind: str, source: int, key: tuple, gradients: bool) -> list:
        layout, number, posted = self.layouts[key], 0, []
        for place, (shape, dtype) in enumerate(zip(layout.shapes, layout.dtypes, strict=True)):
            if shape is None or (gradients and not layout.wants_gradient[place]):
                continue
            # gradients are numbered without the values that have none
            number = number + 1 if gradients else place + 1
            posted.append(self.transport.post(source, self._tag(key[0], kind, action, number), shape, dtype))
        return posted

    def _post_receives(self, position: int) -> None:
        """Start the receives of the next actions, as far as it is known what will come."""
        self.num_ahead = max(self.num_ahead, position)
        while self.num_ahead < len(self.actions) and len(self.posted) < AHEAD:
            action = self.actions[self.num_ahead]
            forward = action.kind == "F"
            needs = action.stage > 0 if forward else action.kind != "W" and action.stage < self.last
            if needs:
                source = self.plan.rank_of_stage[action.stage - 1 if forward else action.stage + 1]
                key = self._key(action.stage if forward else action.stage + 1, action)
                if source != self.rank:
                    if key not in self.layouts:
                        return
                    self.posted[action] = self._post(action, "F" if forward else "B", source, key, not forward)
            self.num_ahead += 1

    # -- names -----------------------------------------------------------------------------------

    def _place(self, action: Action) -> tuple[int, int, int]:
        return action.stage, action.microbatch, action.slice or 0

    def _key(self, boundary: int, action: Action) -> tuple:
        """What the layout of a boundary depends on."""
        return boundary, self.given.sizes[action.microbatch], action.slice or 0

    def _tag(self, boundary: int, kind: str, action: Action, number: int) -> int:
        place = (action.microbatch * self.plan.num_slices + (action.slice or 0)) * self.plan.num_stages + boundary
        return FIRST_TAG + (place * 2 + (kind == "B")) * (MOST_VALUES + 1) + number
