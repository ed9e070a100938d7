"""The log is used up.

status: incorrect
feedback: read it only
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    while events:
        worker, kind = events.pop(0)
        if kind == "pull":
            version_read[worker] = version
        else:
            found.append(version - version_read.get(worker, 0))
            version += 1
    return found
