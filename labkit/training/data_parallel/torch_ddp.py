"""torch's own ``DistributedDataParallel`` as a strategy: the library that everybody uses, for comparison."""

from __future__ import annotations

import gc
import socket
import traceback
from datetime import timedelta

import torch.distributed as dist

from labkit.errors import NotAvailableError, UsageError
from labkit.training.agreement import all_or_none
from labkit.training.recording import COMMUNICATION, MAIN, Traffic, is_simulated
from labkit.training.strategies import StrategyBase

TIMEOUT_S = 120


class TorchDDP(StrategyBase):
    """``DistributedDataParallel`` over Gloo (or over the process group that exists, under ``torchrun``).

    DDP divides by the number of ranks; the loss is multiplied by it before, so that uneven shards count as they should.

    Parameters
    ----------
    measure : bool
        Add buckets up in a hook in Python that notes when: the report then knows communication and overlap. Without, all of
        backward counts as computing, and DDP runs as it does elsewhere.
    find_unused_parameters : bool
        DDP needs to be told that parameters may get no gradient.
    timeout_s : float
        After so long without the others, a rank gives up.
    settings
        Of DDP, for example ``bucket_cap_mb``.
    """

    name = "torch_ddp"

    def __init__(
        self, *, measure: bool = False, find_unused_parameters: bool = False, timeout_s: float = TIMEOUT_S, **settings
    ):
        self.measure, self.timeout_s = measure, timeout_s
        self.settings = {"gradient_as_bucket_view": True, "find_unused_parameters": find_unused_parameters} | settings
        self.owns_group, self.num_syncs, self.launched, self.ddp = False, 0, [], None

    def attach(self, comm, model, optimizer_factory, options, recorder) -> None:
        from torch.nn.parallel import DistributedDataParallel

        all_or_none(comm, lambda: self._check(comm))
        self.owns_group = open_process_group(comm, self.timeout_s)
        super().attach(comm, model, optimizer_factory, options, recorder)
        device_ids = [self.parameters[0].device] if self.parameters[0].device.type == "cuda" else None
        self.ddp = all_or_none(comm, lambda: DistributedDataParallel(model, device_ids=device_ids, **self.settings))
        self.module = self.ddp
        if self.measure:
            self.ddp.register_comm_hook(None, self._add_up)
        else:
            self.loss_factor = float(comm.size)

    def _check(self, comm) -> None:
        if is_simulated(comm):
            raise UsageError("simulated ranks share a process, and torch's DDP needs processes: run torch_ddp on real ranks.")
        if not dist.is_available():
            raise NotAvailableError("this torch was built without torch.distributed: install one that has it.")
        if dist.is_initialized() and (dist.get_rank(), dist.get_world_size()) != (comm.rank, comm.size):
            raise UsageError(
                f"torch.distributed knows this process as rank {dist.get_rank()} of {dist.get_world_size()}, the communicator as "
                f"rank {comm.rank} of {comm.size}: pass the whole world, or call torch.distributed.destroy_process_group() before."
            )

    def _add_up(self, state, bucket):  # DDP compares annotations, and would not know them as texts
        """DDP's hook: the sum of a bucket, with the times."""
        vector = bucket.buffer()
        times = [self.recorder.now(), 0, vector.numel() * vector.element_size()]
        self.launched.append(times)

        def done(future):
            times[1] = self.recorder.now()
            return future.value()[0]

        return dist.all_reduce(vector, async_op=True).get_future().then(done)

    def start_micro_batch(self, is_last: bool) -> None:
        self.ddp.require_backward_grad_sync = is_last  # what DDP's no_sync() sets

    def finish_backward(self) -> None:
        self.num_syncs += 1
        for number, (start, end, size) in enumerate(self.launched):
            # Backward returns when all buckets are there: whatever lies after the last hook was waiting.
            self.recorder.spans.append((COMMUNICATION, f"bucket {number}", "collective", start, end, size))
        if self.launched:
            last_start, last_end = self.launched[-1][0], max(end for _, end, _ in self.launched)
            self.recorder.spans.append((MAIN, "wait for buckets", "wait", last_start, last_end, 0))
        self.launched = []

    def abort(self) -> None:
        """Close the connections, and the others' all-reduce fails: DDP has no way to finish a step without backward.

        They close with the last reference to the group; DDP has one, and so have the frames of what was raised.
        """
        if self.failure is not None:
            traceback.clear_frames(self.failure.__traceback__)
        self.module = self.ddp = self.failure = None
        if dist.is_initialized():
            dist.destroy_process_group()
        gc.collect()

    def traffic(self) -> Traffic:
        """As if by rings; DDP's own books say how many buckets there are."""
        size, num_bytes = self.comm.size, sum(p.numel() * p.element_size() for p in self.parameters)
        steps, buckets = 2 * (size - 1), 1
        if self.ddp is not None and self.num_syncs:
            sizes = self.ddp._get_ddp_logging_data().get("rebuilt_bucket_sizes") or self.ddp._get_ddp_logging_data().get("bucket_sizes")
            buckets = len(str(sizes).split(",")) if sizes else 1
        return Traffic(self.num_syncs * buckets, self.num_syncs * buckets * steps, self.num_syncs * (num_bytes * steps // size))

    def detach(self) -> None:
        self.module = self.ddp = None
        super().detach()
        self._leave()

    def _leave(self) -> None:
        if self.owns_group and dist.is_initialized():
            dist.destroy_process_group()
        self.owns_group = False


def open_process_group(comm, timeout_s: float = TIMEOUT_S, backend: str = "gloo") -> bool:
    """Make torch's default process group of the ranks of a communicator; False if there was one. Collective.

    Rank 0 opens a store on a free port, and tells the others where.
    """
    if dist.is_initialized():
        return False
    timeout = timedelta(seconds=timeout_s)
    nodes = comm.allgather(socket.gethostname())
    host = "127.0.0.1" if len(set(nodes)) == 1 else nodes[0]
    store = problem = None
    if comm.rank == 0:
        try:
            store = dist.TCPStore(host, 0, comm.size, is_master=True, timeout=timeout, wait_for_workers=False)
        except (OSError, RuntimeError) as error:
            problem = str(error)
    port, problem = comm.bcast((store.port if store is not None else None, problem), 0)
    if problem is not None:
        raise NotAvailableError(f"rank 0 could not open a port on {host} for torch.distributed: {problem}")
    if comm.rank:
        store = dist.TCPStore(host, port, comm.size, is_master=False, timeout=timeout)
    dist.init_process_group(backend, store=store, rank=comm.rank, world_size=comm.size, timeout=timeout)
    return True
