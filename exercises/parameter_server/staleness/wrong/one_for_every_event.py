"""Pulls get a number, too.

status: incorrect
feedback: as many as there are pushes
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "pull":
            version_read[worker] = version
        found.append(version - version_read.get(worker, 0))
        version += kind == "push"
    return found
