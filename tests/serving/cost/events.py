"""The same two services as plain event simulations: slow, with lists and dictionaries, and written from the rules."""

import heapq
import math


def serverless_events(times, durations, cold_starts, keep_alive, limit, provisioned=0, new_per_10_s=math.inf):
    """(Latencies with None for refused, whether cold, lives of environments)."""
    environments = [{"born": None, "free": 0.0, "busy": False} for _ in range(provisioned)]
    latencies, colds, lives, allowance, updated = [], [], [], float(new_per_10_s), 0.0
    for number, now in enumerate(times):
        for one in environments:
            if one["busy"] and one["free"] <= now:
                one["busy"] = False
        for one in [e for e in environments if not e["busy"] and e["born"] is not None and now - e["free"] > keep_alive]:
            lives.append((one["born"], one["free"] + keep_alive))
            environments.remove(one)
        idle = [e for e in environments if not e["busy"]]
        ready = [e for e in idle if e["born"] is None]
        if idle:
            one, work = (ready or [max(idle, key=lambda e: e["free"])])[0], durations[number]
            colds.append(False)
        else:
            if new_per_10_s != math.inf:
                allowance = min(new_per_10_s, allowance + (now - updated) * new_per_10_s / 10)
                updated = now
            if len(environments) >= limit or allowance < 1:
                latencies.append(None)
                colds.append(False)
                continue
            allowance -= 1
            one = {"born": now}
            environments.append(one)
            work = durations[number] + cold_starts[sum(colds) % len(cold_starts)]
            colds.append(True)
        one["busy"], one["free"] = True, now + work
        latencies.append(work)
    lives += [(e["born"], e["free"] + keep_alive) for e in environments if e["born"] is not None]
    return latencies, colds, lives


def dedicated_events(times, durations, setup, max_batch, max_wait, max_queue, num_workers):
    """(Latencies with None for refused, sizes of batches) of a fixed number of workers."""
    events = [(now, 2, number) for number, now in enumerate(times)]  # at one instant: free, then late, then arrivals
    heapq.heapify(events)
    waiting, free, latencies, sizes = [], num_workers, [None] * len(times), []

    def begin(now):
        nonlocal free
        while free and waiting and (len(waiting) >= max_batch or now >= times[waiting[0]] + max_wait):
            batch, waiting[:] = waiting[:max_batch], waiting[max_batch:]
            end = now + setup + sum(durations[k] for k in batch)
            for k in batch:
                latencies[k] = end - times[k]
            sizes.append(len(batch))
            free -= 1
            heapq.heappush(events, (end, 0, -1))

    while events:
        now, kind, number = heapq.heappop(events)
        if kind == 0:
            free += 1
        elif kind == 2 and len(waiting) < max_queue:
            waiting.append(number)
            heapq.heappush(events, (times[number] + max_wait, 1, number))
        begin(now)
    return latencies, sizes
