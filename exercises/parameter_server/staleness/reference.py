"""The server's version, and the version that each worker has read."""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "pull":
            version_read[worker] = version
        else:
            found.append(version - version_read.get(worker, 0))
            version += 1
    return found
