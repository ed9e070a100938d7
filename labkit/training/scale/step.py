"""The time of a data-parallel step on many GPUs: gradients in buckets, reduced while the backward pass goes on.

The step is followed event by event: the backward pass brings the gradients one after the other, a full bucket waits
until the buckets before it are reduced, and the step ends when the last one is. What an all-reduce costs comes from the
formulas of :mod:`labkit.mpi.cost` and a network of :mod:`labkit.comm.network`; so 4096 GPUs cost no more to follow
than two.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from itertools import pairwise

from labkit.comm.network.model import Network
from labkit.errors import UsageError
from labkit.mpi.cost import COSTS
from labkit.training.scale.bsp import harmonic_number
from labkit.training.scale.profile import StepProfile

MEGABYTE = 1_000_000
HIERARCHICAL = "hierarchical"
ALGORITHMS = (
    "ring", "rabenseifner", "recursive_doubling", "reduce_broadcast", HIERARCHICAL,
)
ITEMSIZE = 4


def allreduce_s(num_bytes: int, num_ranks: int, network: Network, algorithm: str = "ring") -> float:
    """The time of an all-reduce by the cost formula of its algorithm, in s.

    With several ranks a node, they share the node's port. Around a ring only one message at a time crosses it, and the
    slowest link sets the pace. In the other algorithms all ranks of a node send out of it at once (at least in the rounds
    with the most bytes), so a byte takes ``ranks_per_node`` times as long. ``hierarchical`` reduces inside the nodes
    first, then around a ring of nodes, each with the whole vector.

    Parameters
    ----------
    num_bytes : int
    num_ranks : int
    network : Network
    algorithm : str
        One of :data:`ALGORITHMS`.

    Examples
    --------
    >>> from labkit.comm.network.model import alpha_beta
    >>> allreduce_s(8000, 4, alpha_beta(1e-6, 1e-9))
    1.8e-05
    """
    if algorithm not in ALGORITHMS:
        raise UsageError(f"there is no all-reduce {algorithm!r} here; the known ones are {', '.join(ALGORITHMS)}.")
    if isinstance(num_ranks, bool) or not isinstance(num_ranks, int) or num_ranks < 1:
        raise UsageError(f"num_ranks={num_ranks!r} must be a whole number of at least 1.")
    return _allreduce_s(num_bytes, num_ranks, network, algorithm) if num_ranks > 1 else 0.0


@functools.lru_cache(maxsize=1 << 14)  # a curve asks for the same buckets again and again
def _allreduce_s(num_bytes: int, num_ranks: int, network: Network, algorithm: str) -> float:
    num_elements = -(-num_bytes // ITEMSIZE)
    local = min(network.ranks_per_node, num_ranks)
    gamma = network.gamma_s_per_byte
    if local == 1:
        cost = COSTS[f"allreduce_{'ring' if algorithm == HIERARCHICAL else algorithm}"](num_ranks, num_elements, ITEMSIZE)
        return _price(cost, network.cost, gamma)
    if num_ranks <= local:  # all inside one node
        return _price(COSTS[f"allreduce_{_flat(algorithm)}"](num_ranks, num_elements, ITEMSIZE), network.inside, gamma)
    if algorithm == HIERARCHICAL:
        inside = COSTS["allreduce_ring"](local, num_elements, ITEMSIZE)
        across = COSTS["allreduce_ring"](network.num_nodes(num_ranks), num_elements, ITEMSIZE)
        return _price(inside, network.inside, gamma) + _price(across, network.cost, gamma)
    cost = COSTS[f"allreduce_{algorithm}"](num_ranks, num_elements, ITEMSIZE)
    if algorithm == "ring":
        return max(_price(cost, network.cost, gamma), _price(cost, network.inside, gamma))
    return _price(cost, network.cost, gamma, sharers=local)


def _flat(algorithm: str) -> str:
    return "ring" if algorithm == HIERARCHICAL else algorithm


def _price(cost, link, gamma: float, *, sharers: int = 1) -> float:
    """Seconds of a counted cost on one kind of link."""
    alpha = link.alpha_s + link.latency_s + 2 * link.overhead_s
    return cost.time_s(alpha, link.beta_s_per_byte * sharers, gamma)


@dataclass(frozen=True, slots=True)
class BucketTime:
    """What happens to a bucket, in s from the beginning of the step.

    Attributes
    ----------
    names : tuple of str
        Its gradients.
    num_bytes : int
    ready_s, start_s, end_s : float
        Its last gradient is there; its all-reduce begins; it ends.
    """

    names: tuple[str, ...]
    num_bytes: int
    ready_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class StepTime:
    """A step on many GPUs.

    Attributes
    ----------
    num_ranks : int
    compute_s : float
        Of one GPU that nobody disturbs.
    backward_end_s : float
        When the backward pass of the slowest GPU ends.
    step_s : float
    buckets : tuple of BucketTime
    """

    num_ranks: int
    compute_s: float
    backward_end_s: float
    step_s: float
    buckets: tuple[BucketTime, ...]

    @property
    def efficiency(self) -> float:
        """Throughput over that of so many GPUs alone; the batch of a GPU stays (weak scaling)."""
        return self.compute_s / self.step_s

    @property
    def communication_s(self) -> float:
        return sum(bucket.end_s - bucket.start_s for bucket in self.buckets)

    @property
    def exposed_s(self) -> float:
        """Communication that no computation hides."""
        return self.step_s - self.backward_end_s


def buckets_of(profile: StepProfile, bucket_bytes: float) -> list[tuple[int, int]]:
    """The gradients of each bucket, as (first, one past the last): filled in the order of the backward pass.

    A bucket is full when the next gradient would not fit; a gradient larger than a bucket has one of its own.
    """
    ends, filled = [0], 0
    for number, gradient in enumerate(profile.gradients):
        if filled and filled + gradient.num_bytes > bucket_bytes:
            ends.append(number)
            filled = 0
        filled += gradient.num_bytes
    return list(pairwise([*ends, len(profile.gradients)]))


def step_time(
    profile: StepProfile, num_ranks: int, network: Network, *, algorithm: str = "ring",
    bucket_bytes: float = 25 * MEGABYTE, overlaps: bool = True, noise: float = 0.0,
) -> StepTime:
    """Follow one step of synchronous data-parallel training.

    Parameters
    ----------
    profile : StepProfile
        Of one GPU.
    num_ranks : int
    network : Network
    algorithm : str
        One of :data:`ALGORITHMS`.
    bucket_bytes : float
        ``math.inf``: one bucket; 0: one for each gradient.
    overlaps : bool
        All-reduces run while the backward pass goes on; else they wait for its end.
    noise : float
        Every GPU takes an exponentially distributed time longer, of this mean as a fraction of its computing; all wait
        for the slowest, which takes ``1 + noise * H_p`` times as long (:mod:`.bsp`).

    Returns
    -------
    StepTime

    Examples
    --------
    >>> from labkit.comm.network.presets import find_network
    >>> from labkit.training.scale.profile import published_profile
    >>> step = step_time(published_profile("resnet50"), 64, find_network("ethernet-10g"))
    >>> round(step.efficiency, 2), len(step.buckets)
    (0.94, 5)
    """
    if math.isnan(bucket_bytes) or bucket_bytes < 0:
        raise UsageError(f"bucket_bytes={bucket_bytes!r} must be 0 or more.")
    if not 0 <= noise < math.inf:
        raise UsageError(f"noise={noise!r} is a fraction of the computing, 0 or more.")
    slowest = 1 + (noise * harmonic_number(num_ranks) if num_ranks > 1 else 0.0)
    backward_end = profile.compute_s * slowest
    moment, free_at, buckets = profile.forward_s * slowest, 0.0, []
    for first, last in buckets_of(profile, bucket_bytes):
        gradients = profile.gradients[first:last]
        moment += sum(gradient.backward_s for gradient in gradients) * slowest
        num_bytes = sum(gradient.num_bytes for gradient in gradients)
        start = max(moment if overlaps else backward_end, free_at)
        free_at = start + allreduce_s(num_bytes, num_ranks, network, algorithm)
        buckets.append(BucketTime(tuple(g.name for g in gradients), num_bytes, moment, start, free_at))
    end = max(backward_end, free_at) if num_ranks > 1 else backward_end
    return StepTime(num_ranks, profile.compute_s, backward_end, end, tuple(buckets))


def scaling(profile: StepProfile, nums_ranks, network: Network, **options) -> list[StepTime]:
    """:func:`step_time` for several numbers of GPUs.

    Examples
    --------
    >>> from labkit.comm.network.presets import find_network
    >>> from labkit.training.scale.profile import published_profile
    >>> steps = scaling(published_profile("vgg16"), (1, 64, 4096), find_network("infiniband-hdr"))
    >>> [round(step.efficiency, 2) for step in steps]
    [1.0, 0.99, 0.97]
    """
    return [step_time(profile, num_ranks, network, **options) for num_ranks in nums_ranks]
