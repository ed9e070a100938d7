"""Every event makes weights older.

status: incorrect
feedback: pulls count as well
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "pull":
            version_read[worker] = version + 1
        else:
            found.append(version - version_read.get(worker, 0))
        version += 1
    return found
