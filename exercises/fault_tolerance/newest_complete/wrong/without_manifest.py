"""Whoever has shards is complete.

status: incorrect
feedback: the manifest is written last
"""

def newest_complete(files):
    steps = [int(path.partition("/")[0][5:]) for path in files if ".damaged/" not in path]
    return max(steps, default=None)
