"""How many workers have pushed.

status: incorrect
feedback: workers, not updates
"""


def staleness(events):
    read, found, past = {}, [], []
    for worker, kind in events:
        if kind == "pull":
            read[worker] = len(past)
        else:
            found.append(len(set(past[read.get(worker, 0):])))
            past.append(worker)
    return found
