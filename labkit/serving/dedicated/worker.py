"""A process that serves: ``python -m labkit.serving.dedicated.worker ORDER``, started by :mod:`.supervisor`.

It writes "ready" to its owner when it answers. SIGTERM: it refuses new requests for a while, closes the port, answers all
that it took, and ends. Its owner's end is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys

MODEL_HANGS = 70  # exit status
SWITCH_S = 0.0005  # a batch that is computed waits no 5 ms for the thread that reads requests, nor that one for it
GRACE_S = 60.0  # for connections that do not read their answers


def main(order: dict) -> int:
    """Serve until SIGTERM."""
    from labkit.serving.dedicated.lifeline import die_with_owner

    die_with_owner(order["pipe"], order["owner"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner
    sys.setswitchinterval(SWITCH_S)
    logging.basicConfig(format=f"%(asctime)s worker {order['worker']} %(message)s", level=logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # its "Invalid HTTP request": clients', not ours

    import numpy as np
    import uvicorn

    from labkit.serving.dedicated.app import make_app
    from labkit.serving.dedicated.counters import Counters
    from labkit.serving.dedicated.protocol import timed_protocol
    from labkit.serving.dedicated.settings import ServerSettings

    settings = ServerSettings(**order["settings"])
    counters = Counters(settings.num_workers, settings.max_batch, order["counters"])
    app = make_app(order["package"], settings, counters=counters, worker=order["worker"])
    state = app.state.serving
    state.classifier.predict(np.zeros((settings.max_batch, state.classifier.num_features), np.float32))  # pages come in

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, lambda: tasks.append(loop.create_task(drain(self))))
            tasks.append(loop.create_task(self.watch()))
            yield

        async def startup(self, sockets=None):
            await super().startup(sockets)
            counters.add(order["worker"], "starts")
            counters.set(order["worker"], "ready", 1)
            os.write(order["report"], b"ready\n")

        async def watch(self):
            """End a process whose model hangs: everybody who waited for it has had a 504."""
            while True:
                await asyncio.sleep(min(1.0, settings.timeout_s / 4))
                if state.batcher.running_s > settings.timeout_s + 1:
                    logging.getLogger("labkit.serving").error("the model hangs: this worker ends")
                    os._exit(MODEL_HANGS)

    async def drain(server):
        if state.is_draining:
            return
        state.is_draining = True
        counters.set(order["worker"], "ready", 0)
        await asyncio.sleep(settings.drain_s)
        server.should_exit = True

    tasks = []
    config = uvicorn.Config(
        app, http=timed_protocol(2 * settings.body_timeout_s), ws="none", log_config=None, access_log=False,
        timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=75, lifespan="on", date_header=False, server_header=False,
    )  # fmt: skip
    server = Server(config)
    server.run(sockets=[socket.socket(fileno=order["socket"])])
    counters.set(order["worker"], "queue_rows", 0)
    return 0 if server.started else 1


if __name__ == "__main__":
    status = main(json.loads(sys.argv[1]))
    logging.shutdown()
    os._exit(status)  # a thread that computes holds up no end
