"""The process of the service: ``python -m labkit.serving.serverless.process``, started by the warden.

A process of its own, so that neither a notebook's computations nor the load that it makes hold up the answers: Python
lets one thread of a process run at a time. Inside it one thread and an event loop (uvloop) serve everything: what
happens here between a request and its environment is microseconds of bookkeeping, and one thread needs no locks.
Environments are processes anyway.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys

from labkit.serving.serverless.front import FrontConnection
from labkit.serving.serverless.http_server import HttpServer, listen
from labkit.serving.serverless.invoke_api import InvokeConnection
from labkit.serving.serverless.processes import tie_to_parent
from labkit.serving.serverless.service import FunctionService
from labkit.serving.serverless.settings import FunctionSettings

FLUSH_LIMIT_S = 5.0


def read_order(fd: int) -> dict:
    """The first line; what keeps coming, or the end, is for later."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(fd, 1)
        if not part:
            sys.exit(1)
        line += part
    return json.loads(line)


async def run(order: dict, owner: int) -> None:
    settings = FunctionSettings(**order["settings"])
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    loop.add_reader(owner, finished.set)  # the owner closes its end, or is gone
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, finished.set)
    try:
        sockets = [listen(order["port"]), listen()]
    except OSError as error:
        return print(
            json.dumps({"error": f"port {order['port']} of 127.0.0.1 is not to be had: {error.strerror}"}), flush=True
        )
    service = FunctionService(settings)
    servers = [
        HttpServer(lambda server: FrontConnection(server, service), read_limit_s=order["read_limit_s"]),
        HttpServer(lambda server: InvokeConnection(server, service)),
    ]
    for server, listener in zip(servers, sockets, strict=True):
        await server.serve(listener)
    front, api = (listener.getsockname()[1] for listener in sockets)
    gc.freeze()  # what is there now stays; looking through it again and again would only cost
    print(json.dumps({"front": front, "api": api, "pid": os.getpid()}), flush=True)
    await finished.wait()
    loop.remove_reader(owner)
    await service.end()
    limit = loop.time() + FLUSH_LIMIT_S
    while any(server.num_unsent_bytes for server in servers) and loop.time() < limit:
        await asyncio.sleep(0.01)
    for server in servers:
        server.close()


def main() -> None:
    import uvloop

    tie_to_parent()
    order = read_order(0)
    uvloop.run(run(order, 0))


if __name__ == "__main__":
    main()
