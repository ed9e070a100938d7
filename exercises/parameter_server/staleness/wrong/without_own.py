"""Only others' updates.

status: incorrect
feedback: own updates
"""


def staleness(events):
    missing, found = {worker: 0 for worker, _ in events}, []
    past = []
    for worker, kind in events:
        if kind == "pull":
            missing[worker] = len(past)
        else:
            found.append(sum(other != worker for other in past[missing[worker]:]))
            past.append(worker)
    return found
