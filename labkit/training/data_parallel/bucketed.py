"""Gradients in buckets, one all-reduce a bucket, after the backward pass."""

from __future__ import annotations

import torch

from labkit.training.data_parallel.buckets import Bucket, kind_of, plan_buckets
from labkit.training.data_parallel.replicated import Replicated

BUCKET_BYTES = 4 << 20


class Bucketed(Replicated):
    """Few long messages instead of many short ones, and vectors that stay in a cache while they are added up.

    Parameters
    ----------
    bucket_bytes : float
        A bucket is closed as soon as it has so much.
    first_bucket_bytes : float, optional
        The limit of the first one.
    sync_every_micro_batch : bool
        Communicate after each micro-batch instead of after the last one alone: as many times the bytes. (To see what
        adding up first, torch's ``no_sync``, saves.)
    settings
        ``algorithm``, ``broadcast_buffers``: see :class:`.replicated.Replicated`.

    Notes
    -----
    Gradients are never set to None: they are views into the buckets.
    """

    name = "bucketed"

    def __init__(
        self, *, bucket_bytes: float = BUCKET_BYTES, first_bucket_bytes: float | None = None,
        sync_every_micro_batch: bool = False, **settings,
    ):
        super().__init__(**settings)
        plan_buckets([], bucket_bytes)  # checks it
        self.bucket_bytes = bucket_bytes
        self.first_bucket_bytes = None if first_bucket_bytes is None else min(first_bucket_bytes, bucket_bytes)
        self.sync_every_micro_batch = sync_every_micro_batch

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        super().attach(comm, model, optimizer_factory, options, recorder)
        sizes = [p.numel() * p.element_size() for p in self.parameters]
        kinds = [(str(p.dtype), str(p.device)) for p in self.parameters]
        plans = plan_buckets(sizes, self.bucket_bytes, kinds=kinds, first_bytes=self.first_bucket_bytes)
        kinds = [kind_of([self.parameters[member] for member in plan.members]) for plan in plans]
        rooms = self.reducer.rooms(self.comm, kinds) if hasattr(self.reducer, "rooms") else None
        self.buckets = [
            Bucket(number, plan.members, self.parameters, rooms[number] if rooms else None)
            for number, plan in enumerate(plans)
        ]
        self.reducer.prepare(self.comm, [bucket.flat.numel() for bucket in self.buckets])
        self.sums = [torch.zeros_like(b.flat) for b in self.buckets] if self.sync_every_micro_batch else []
        self.num_micro_batches = 0

    def settings(self) -> str:
        return (
            f"{super().settings()}, bucket_bytes={self.bucket_bytes}, first_bucket_bytes={self.first_bucket_bytes}, "
            f"sync_every_micro_batch={self.sync_every_micro_batch}"
        )

    def start_step(self) -> None:
        for vector in [*(bucket.flat for bucket in self.buckets), *self.sums]:
            vector.zero_()
        self.num_micro_batches = 0

    def start_micro_batch(self, is_last: bool) -> None:
        if self.sync_every_micro_batch and self.num_micro_batches:
            self._sync_one()
        self.num_micro_batches += 1

    def abort(self) -> None:
        """With ``sync_every_micro_batch`` the ranks may stand at different micro-batches: the missing ones follow."""
        if self.sync_every_micro_batch:
            for _ in range(self.options.num_micro_batches - max(self.num_micro_batches, 1)):
                self._sync_one()
        self.finish_backward()

    def reduce_gradients(self) -> None:
        self._reduce_buckets()
        for bucket, total in zip(self.buckets, self.sums, strict=False):
            bucket.flat.add_(total)

    def _reduce_buckets(self) -> None:
        for bucket in self.buckets:
            self.reduce(self.comm, bucket.flat, bucket.number, f"bucket {bucket.number}")

    def _sync_one(self) -> None:
        """Communicate what one micro-batch gave, and put it aside."""
        self._reduce_buckets()
        for bucket, total in zip(self.buckets, self.sums, strict=True):
            total.add_(bucket.flat)
            bucket.flat.zero_()

    def detach(self) -> None:
        super().detach()
        self.buckets, self.sums = [], []
        if hasattr(self.reducer, "rooms"):
            self.reducer.close()

    def memory(self) -> dict[str, int]:
        found = super().memory()
        found["buffers"] += sum(vector.numel() * vector.element_size() for vector in self.sums)
        return found
