"""The manifest is believed.

status: incorrect
feedback: it promises shards
"""

import json
import re


def newest_complete(files):
    found = [re.fullmatch(r"step-(\d+)/manifest\.json", path) for path in files]
    steps = sorted((int(match[1]), match[0]) for match in found if match)
    for step, path in reversed(steps):
        try:
            shards = json.loads(files[path].tobytes())["shards"]
        except ValueError:
            continue
        if shards:
            return step
    return None
