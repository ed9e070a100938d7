"""``python -m labkit.serving.dedicated PACKAGE``: serve a model package until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from labkit.errors import LabkitError
from labkit.serving.dedicated.server import DedicatedServer
from labkit.serving.dedicated.settings import ServerSettings
from labkit.serving.package.classifier import PackageError


def main(argv: list[str] | None = None) -> int:
    """Serve; exit status 0 after a stop in which every accepted request was answered."""
    parser = argparse.ArgumentParser(prog="python -m labkit.serving.dedicated", description=__doc__)
    parser.add_argument("package", help="a *.labkit-model file")
    parser.add_argument("--port", type=int, default=8000, help="0: one that is free (default 8000)")
    defaults = ServerSettings()
    for name, value in defaults.as_dict().items():
        words = {"type": type(value), "default": value, "help": f"default {value:g}"}
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=name.upper(), **words)
    options = vars(parser.parse_args(argv))
    package, port = options.pop("package"), options.pop("port")
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        server = DedicatedServer(package, port=port, progress=say, **options)
    except (LabkitError, PackageError) as error:
        say(f"error: {error}")
        return 2
    with server:
        print(server.url, flush=True)
        told.wait()
        say("stopping: no new requests, and all that were accepted are answered")
        num_killed = server.stop()
    if num_killed:
        say(f"{num_killed} workers did not end in time and were killed: requests of theirs may have been lost")
    return 1 if num_killed else 0


if __name__ == "__main__":
    sys.exit(main())
