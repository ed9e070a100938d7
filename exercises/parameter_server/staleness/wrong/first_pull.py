"""The first pull counts.

status: incorrect
feedback: first pull
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "pull":
            version_read.setdefault(worker, version)
        else:
            found.append(version - version_read.get(worker, 0))
            version += 1
    return found
