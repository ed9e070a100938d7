"""A worker that has not pulled is not known.

status: crashed
feedback: version 0
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "pull":
            version_read[worker] = version
        else:
            found.append(version - version_read[worker])
            version += 1
    return found
