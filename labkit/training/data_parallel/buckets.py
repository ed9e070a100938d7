"""Plans: which gradients lie in which bucket. Pure functions of sizes, equal on all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labkit.errors import UsageError


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """One bucket: the numbers of its parameters, in the order in which they lie in it."""

    members: tuple[int, ...]


def plan_buckets(
    sizes_bytes: Sequence[int], bucket_bytes: float, *, kinds: Sequence | None = None, first_bytes: float | None = None
) -> list[BucketPlan]:
    """Fill buckets from the last parameter to the first, the order in which a backward pass finishes gradients.

    Parameters
    ----------
    sizes_bytes : sequence of int
        Of the gradients, in the model's order.
    bucket_bytes : float
        A bucket is closed as soon as it has so much; infinity: one bucket.
    kinds : sequence, optional
        Gradients of different kinds (types, devices) do not share a bucket.
    first_bytes : float, optional
        The limit of the first bucket: a small one starts the communication early.

    Examples
    --------
    >>> [plan.members for plan in plan_buckets([4, 4, 4, 100, 4], 8)]
    [(4, 3), (2, 1), (0,)]
    >>> [plan.members for plan in plan_buckets([4, 4, 4, 100, 4], float("inf"))]
    [(4, 3, 2, 1, 0)]
    """
    if not bucket_bytes > 0:
        raise UsageError(f"bucket_bytes is above 0, not {bucket_bytes!r}: pass 2**22, for example.")
    plans, open_members, open_bytes = [], {}, {}
    for number in reversed(range(len(sizes_bytes))):
        kind = kinds[number] if kinds is not None else None
        open_members.setdefault(kind, []).append(number)
        open_bytes[kind] = open_bytes.get(kind, 0) + sizes_bytes[number]
        limit = first_bytes if first_bytes is not None and not plans else bucket_bytes
        if open_bytes[kind] >= limit:
            plans.append(BucketPlan(tuple(open_members.pop(kind))))
            open_bytes[kind] = 0
    plans += [BucketPlan(tuple(members)) for members in open_members.values()]
    return plans


def kind_of(parameters: Sequence) -> tuple[int, torch.dtype, torch.device]:
    """The flat tensor that holds the gradients of all of them: how many elements, of what type, and where."""
    return sum(p.numel() for p in parameters), parameters[0].dtype, parameters[0].device


class Bucket:
    """Gradients one behind the other in one flat tensor; each parameter's ``grad`` is a view into it.

    Autograd adds into a gradient that exists, in place: nothing is copied into a bucket, and nothing out of it. The
    tensor is ``room``, full of zeros, or a new one.
    """

    def __init__(self, number: int, members: Sequence[int], parameters: Sequence, room: torch.Tensor | None = None):
        self.number, self.members = number, tuple(members)
        own = [parameters[member] for member in members]
        length, dtype, device = kind_of(own)
        self.flat = torch.zeros(length, dtype=dtype, device=device) if room is None else room
        start = 0
        for parameter in own:
            parameter.grad = self.flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    @property
    def num_bytes(self) -> int:
        return self.flat.numel() * self.flat.element_size()
