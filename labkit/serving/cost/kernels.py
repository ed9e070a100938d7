"""The loops of both simulations, compiled. Importing this module imports Numba.

Each takes a stretch of the requests and leaves its state in arrays, so that a day is done in stretches, with progress
in between. All of them stand in this one file: Numba keeps a compiled function as long as its file does not change.
"""

from __future__ import annotations

import math

from numba import njit

READY = -1.0  # the time of start of an environment that is kept ready, and never ends


@njit(cache=True, nogil=True)
def heap_push(keys, others, size, key, other):
    """Adds (key, other) to a binary heap of ``size`` entries whose least key is first."""
    at = size
    while at > 0:
        above = (at - 1) >> 1
        if keys[above] <= key:
            break
        keys[at], others[at] = keys[above], others[above]
        at = above
    keys[at], others[at] = key, other


@njit(cache=True, nogil=True)
def heap_pop(keys, others, size):
    """Takes the first of ``size`` entries away: the last one sinks from the top."""
    last = size - 1
    key, other = keys[last], others[last]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[at], others[at] = keys[below], others[below]
        at = below
    keys[at], others[at] = key, other


@njit(cache=True, nogil=True)
def add_interval(bins, width, start, stop):
    """Adds the seconds from ``start`` to ``stop`` to the bins they lie in; what lies beyond the last is left out."""
    k, num = int(start / width), len(bins)
    while k < num and start < stop:
        edge = (k + 1) * width
        if edge >= stop:
            bins[k] += stop - start
            return
        bins[k] += max(edge - start, 0.0)
        start = edge
        k += 1


@njit(cache=True, nogil=True)
def serverless_kernel(
    times, first, stop, durations, cold_starts, keep_alive, limit, provisioned, scale_up, step_ms, bills_init,
    ends, starts, idle_since, idle_start, now, counts, latency, is_cold, width, busy_s, alive_s, peak, colds, refusals,
):  # fmt: skip
    """Requests ``first`` to ``stop - 1``.

    ``ends, starts``: heap of the environments in work. ``idle_since, idle_start``: stack of idle ones, oldest at the
    bottom. ``now``: [allowance of new ones, when it was updated]. ``counts``: [busy, bottom, top, free provisioned,
    cold, refused, billed ms, billed ms of provisioned ones, most busy].
    """
    busy, bottom, top, ready = counts[0], counts[1], counts[2], counts[3]
    num_bins = len(busy_s)
    for i in range(first, stop):
        t = times[i]
        k = min(int(t / width), num_bins - 1)
        while busy > 0 and ends[0] <= t:  # these have become free since the last request
            end, start = ends[0], starts[0]
            heap_pop(ends, starts, busy)
            busy -= 1
            if start == READY:
                ready += 1
                continue
            if top == len(idle_since):
                for j in range(top - bottom):
                    idle_since[j], idle_start[j] = idle_since[bottom + j], idle_start[bottom + j]
                top -= bottom
                bottom = 0
            idle_since[top], idle_start[top] = end, start
            top += 1
        while bottom < top and t - idle_since[bottom] > keep_alive:  # these have ended
            add_interval(alive_s, width, idle_start[bottom], idle_since[bottom] + keep_alive)
            bottom += 1
        cold = False
        if ready > 0:
            ready -= 1
            start = READY
        elif bottom < top:
            top -= 1
            start = idle_start[top]
        else:
            now[0] = min(scale_up, now[0] + (t - now[1]) * scale_up / 10)
            now[1] = t
            if busy + ready >= limit or now[0] < 1:  # nobody idle: all that live are in work
                counts[5] += 1
                refusals[k] += 1
                latency[i] = math.nan
                continue
            now[0] -= 1
            cold = True
            start = t
        work = durations[i - first]
        billed = work
        if cold:
            extra = cold_starts[counts[4] % len(cold_starts)]
            work += extra
            billed += extra * bills_init
            counts[4] += 1
            colds[k] += 1
            is_cold[i] = True
        heap_push(ends, starts, busy, t + work, start)
        busy += 1
        counts[8] = max(counts[8], busy)
        peak[k] = max(peak[k], busy)
        latency[i] = work
        add_interval(busy_s, width, t, t + work)
        counts[6 + (start == READY)] += math.ceil(billed * 1000 / step_ms - 1e-6) * step_ms
    counts[0], counts[1], counts[2], counts[3] = busy, bottom, top, ready


@njit(cache=True, nogil=True)
def serverless_end(keep_alive, ends, starts, idle_since, idle_start, counts, width, alive_s):
    """The lives of those that are left at the end."""
    for j in range(counts[1], counts[2]):
        add_interval(alive_s, width, idle_start[j], idle_since[j] + keep_alive)
    for j in range(counts[0]):
        if starts[j] != READY:
            add_interval(alive_s, width, starts[j], ends[j] + keep_alive)


@njit(cache=True, nogil=True)
def _launch(t, ready_at, workers, free_at, who, launched, ready):
    """An instance in the first empty slot; its workers are free from ``ready_at`` on."""
    size = 0
    while size < len(who) and who[size] >= 0:
        size += 1
    for slot in range(len(launched)):
        if launched[slot] < 0:
            launched[slot], ready[slot] = t, ready_at
            for _ in range(workers):
                heap_push(free_at, who, size, ready_at, slot)
                size += 1
            return


@njit(cache=True, nogil=True)
def _retire(t, free_at, who, launched, ready, width, instance_s):
    """The newest instance takes no more work; it is paid until its last batch is done."""
    slot, size = 0, 0
    for other in range(len(launched)):
        if launched[other] >= launched[slot]:
            slot = other
    until, kept = t, 0
    while size < len(who) and who[size] >= 0:
        size += 1
    for j in range(size):  # the heap is built anew from the workers of the others
        key, other = free_at[j], who[j]
        who[j] = -1
        if other == slot:
            if ready[slot] <= t:
                until = max(until, key)
        else:
            heap_push(free_at, who, kept, key, other)
            kept += 1
    add_interval(instance_s, width, launched[slot], until)
    launched[slot] = -1.0


@njit(cache=True, nogil=True)
def dedicated_kernel(
    times, first, stop, is_last, durations, setup, max_batch, max_wait, max_queue, workers, least, most, target, start_up,
    cool_down, interval, free_at, who, launched, ready, queue, clock, counts, work_s, latency, busy_ticks, batches,
    width, busy_s, instance_s, longest, refusals,
):  # fmt: skip
    """Requests ``first`` to ``stop - 1``, and with ``is_last`` all that is left in the queue.

    ``free_at, who``: heap of the workers and their instances, -1 behind the last. ``queue``: ring of waiting requests,
    with ``work_s`` beside it. ``clock``: [last change of the fleet]. ``counts``: [head, length, instances, next tick,
    refused, longest queue, most instances].
    """
    ring, num_ticks, num_bins = len(queue), len(busy_ticks), len(busy_s)
    i = first
    while i < stop or (is_last and (counts[1] > 0 or counts[3] <= num_ticks)):
        arrival = times[i] if i < stop else math.inf
        due = math.inf
        head, length = counts[0], counts[1]
        if length > 0:
            due = times[queue[head]] + max_wait
            if length >= max_batch:
                due = min(due, times[queue[(head + max_batch - 1) % ring]])
            due = max(due, free_at[0])
        tick = counts[3] * interval if counts[3] <= num_ticks else math.inf
        if tick <= arrival and tick <= due:
            wanted = math.ceil(busy_ticks[counts[3] - 1] / (interval * workers * target) - 1e-9)
            wanted = min(max(wanted, least), most)
            if wanted > counts[2]:
                for _ in range(wanted - counts[2]):
                    _launch(tick, tick + start_up, workers, free_at, who, launched, ready)
                counts[2] = wanted
                counts[6] = max(counts[6], wanted)
                clock[0] = tick
            elif wanted < counts[2] and tick - clock[0] >= cool_down:
                for _ in range(counts[2] - wanted):
                    _retire(tick, free_at, who, launched, ready, width, instance_s)
                counts[2] = wanted
                clock[0] = tick
            counts[3] += 1
        elif due <= arrival:
            size = min(length, max_batch)
            work = setup
            for j in range(size):
                work += work_s[(head + j) % ring]
            end = due + work
            for j in range(size):
                request = queue[(head + j) % ring]
                latency[request] = end - times[request]
            slot = who[0]
            heap_pop(free_at, who, counts[2] * workers)
            heap_push(free_at, who, counts[2] * workers - 1, end, slot)
            add_interval(busy_s, width, due, end)
            if num_ticks > 0:
                add_interval(busy_ticks, interval, due, end)
            batches[size] += 1
            counts[0] = (head + size) % ring
            counts[1] = length - size
        else:
            k = min(int(arrival / width), num_bins - 1)
            if length >= max_queue:
                counts[4] += 1
                refusals[k] += 1
                latency[i] = math.nan
            else:
                at = (head + length) % ring
                queue[at], work_s[at] = i, durations[i - first]
                counts[1] = length + 1
                counts[5] = max(counts[5], length + 1)
                longest[k] = max(longest[k], length + 1)
            i += 1


@njit(cache=True, nogil=True)
def dedicated_end(period, launched, width, instance_s):
    """The instances that are left are paid until the end."""
    for slot in range(len(launched)):
        if launched[slot] >= 0:
            add_interval(instance_s, width, launched[slot], period)
