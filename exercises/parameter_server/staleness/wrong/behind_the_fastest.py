"""Steps behind the fastest.

status: incorrect
feedback: behind the fastest
"""


def staleness(events):
    clocks, found = {}, []
    for worker, kind in events:
        clocks.setdefault(worker, 0)
        if kind == "push":
            found.append(max(clocks.values()) - clocks[worker])
            clocks[worker] += 1
    return found
