"""The dedicated server: processes that run all the time and answer requests in batches.

==================  =================================================================================================
file                what it has
==================  =================================================================================================
batch_queue.py      which requests make a batch, and when it starts: no clock, no threads
batch_statistics.py how many batches, of which sizes, after which waiting
batcher.py          ``DynamicBatcher``: the same at work in asyncio, the model in a thread beside it
settings.py         what a server is told, and the rules of it
counters.py         what is counted, shared by all workers; the text of /metrics
app.py              ``make_app``: POST /predict, GET /health, /metrics, /model
protocol.py         time limits for clients that are slow to send
worker.py           a process that serves
lifeline.py         it ends when its owner does
supervisor.py       starts workers, and starts one again that died
server.py           ``DedicatedServer``: in a notebook, ``with DedicatedServer(package) as server: server.url``
__main__.py         ``python -m labkit.serving.dedicated PACKAGE --port 8000``
litserve_server.py  the same model behind litserve, to compare with
==================  =================================================================================================
"""

import importlib

_NAMES = {
    "DynamicBatcher": "batcher", "QueueFull": "batcher", "ServerSettings": "settings", "make_app": "app",
    "DedicatedServer": "server", "LitServeServer": "litserve_server",
}  # fmt: skip
__all__ = list(_NAMES)


def __getattr__(name: str):
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    return found
