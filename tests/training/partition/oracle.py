"""What partitions cost, written down once more from the definitions, and all partitions of small chains."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np

from labkit.training.partition.chain import Chain, Layer, SharedParameter
from labkit.training.partition.device import Device


def whole_numbers(values):
    return [int(value) for value in values]


def random_chain(rng, num_layers, *, num_shared=0, names=None):
    """Whole numbers everywhere, so that sums are exact; some layers cost nothing, some cuts are expensive."""
    layers, shared = [], []
    for k in range(num_layers):
        bytes_ = int(rng.choice([0, 4, 40, 400]))
        layers.append(Layer(
            names[k] if names else f"layer{k}", None, int(rng.integers(0, 20)), int(rng.integers(0, 40)),
            bytes_ // 4, bytes_,
            int(rng.integers(0, 50)), int(rng.integers(0, 60)), int(rng.integers(0, 60)),
        ))
    for number in range(num_shared if num_layers > 1 else 0):
        num_users = int(rng.integers(2, min(4, num_layers) + 1))
        users = sorted(whole_numbers(rng.choice(num_layers, size=num_users, replace=False)))
        for k in users:
            layers[k] = replace(
                layers[k], num_parameters=layers[k].num_parameters + 25, parameter_bytes=layers[k].parameter_bytes + 100
            )
        shared.append(SharedParameter(f"shared{number}", 25, 100, tuple(users)))
    return Chain(tuple(layers), tuple(shared))


def random_device(rng, *, memory_bytes=math.inf):
    return Device(
        memory_bytes, bandwidth_bytes_s=int(rng.choice([1, 2, 8])), latency_s=int(rng.choice([0, 3])),
        overlaps=bool(rng.integers(2)), state_factor=4, holding=str(rng.choice(["1f1b", "gpipe"])),
        num_microbatches=int(rng.integers(1, 6)),
    )


def link_s(chain, device, cut):
    """Messages forward and back behind layer ``cut - 1``."""
    if cut in (0, len(chain)):
        return Fraction(0)
    layer = chain.layers[cut - 1]
    sizes = [n for n in (layer.crossing_bytes, layer.gradient_bytes) if n]
    return sum((Fraction(device.latency_s) + Fraction(n, device.bandwidth_bytes_s) for n in sizes), Fraction(0))


def parameter_bytes(chain, start, stop):
    """With sets: every parameter, shared or not, once."""
    own = {}
    for k in range(start, stop):
        of_shared = [p for p in chain.shared if k in p.layers]
        for p in of_shared:
            own[p.name] = p.num_bytes
        own[k] = chain.layers[k].parameter_bytes - sum(p.num_bytes for p in of_shared)
    return sum(own.values())


def stage_s(chain, device, start, stop, num_replicas=1):
    compute = sum(Fraction(layer.forward_s) + Fraction(layer.backward_s) for layer in chain.layers[start:stop])
    before, behind = link_s(chain, device, start), link_s(chain, device, stop)
    sync = Fraction(2 * (num_replicas - 1) * parameter_bytes(chain, start, stop), device.bandwidth_bytes_s)
    if device.overlaps:
        return max(max(compute, sync) / num_replicas, before, behind)
    return max(compute + before + behind, sync) / num_replicas


def memory(chain, device, start, stop, ranks_from_here, num_replicas=1):
    held = device.num_microbatches
    if device.holding == "1f1b":
        held = min(held, math.ceil(Fraction(ranks_from_here, num_replicas)))
    received = chain.layers[start - 1].crossing_bytes if start else 0
    stored = sum(layer.stored_bytes for layer in chain.layers[start:stop]) + received
    return device.state_factor * parameter_bytes(chain, start, stop) + held * stored


def all_bounds(num_layers, num_stages):
    for cuts in itertools.combinations(range(1, num_layers), num_stages - 1):
        yield (0, *cuts, num_layers)


def best_s(chain, device, num_ranks):
    """The slowest stage of the best partition, or None if none fits."""
    found = None
    for bounds in all_bounds(len(chain), num_ranks):
        ranges = list(itertools.pairwise(bounds))
        if any(memory(chain, device, a, b, num_ranks - k) > device.memory_bytes for k, (a, b) in enumerate(ranges)):
            continue
        slowest = max(stage_s(chain, device, a, b) for a, b in ranges)
        found = slowest if found is None else min(found, slowest)
    return found


def counts_that_sum_to(total, num_parts):
    for cuts in itertools.combinations(range(1, total), num_parts - 1):
        yield np.diff((0, *cuts, total)).tolist()


def best_replicated_s(chain, device, num_ranks):
    """PipeDream's best: all numbers of stages, all bounds, all numbers of replicas."""
    found = None
    for num_stages in range(1, min(len(chain), num_ranks) + 1):
        for bounds in all_bounds(len(chain), num_stages):
            for counts in counts_that_sum_to(num_ranks, num_stages):
                ranges = list(itertools.pairwise(bounds))
                left, fits, slowest = num_ranks, True, Fraction(0)
                for (a, b), count in zip(ranges, counts, strict=True):
                    fits = fits and memory(chain, device, a, b, left, count) <= device.memory_bytes
                    slowest = max(slowest, stage_s(chain, device, a, b, count))
                    left -= count
                if fits and (found is None or slowest < found):
                    found = slowest
    return found
