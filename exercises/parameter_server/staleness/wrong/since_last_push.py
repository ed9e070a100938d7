"""From the worker's last push.

status: incorrect
feedback: from the worker's last push
"""


def staleness(events):
    version, version_read, found = 0, {}, []
    for worker, kind in events:
        if kind == "push":
            found.append(version - version_read.get(worker, 0))
            version += 1
            version_read[worker] = version
    return found
