"""A local Lambda from the command line: ``python -m labkit.serving.serverless FOLDER``."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from labkit.errors import LabkitError, UsageError
from labkit.serving.serverless.local_lambda import LocalLambda
from labkit.serving.serverless.settings import FunctionSettings

LOOK_EVERY_S = 0.2


def settings_from(options: argparse.Namespace) -> FunctionSettings:
    variables = {}
    for pair in options.environment:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--environment takes NAME=VALUE, not {pair!r}.")
        variables[name] = value
    return FunctionSettings(
        folder=options.folder,
        handler=options.handler,
        memory_mb=options.memory_mb,
        timeout_s=options.timeout_s,
        keep_alive_s=options.keep_alive_s,
        reserved_concurrency=options.reserved,
        provisioned_concurrency=options.provisioned,
        environment=variables,
        name=options.name,
        init_timeout_s=options.init_timeout_s,
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m labkit.serving.serverless",
        description="Run a function as AWS Lambda does, on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("folder", metavar="FOLDER", help="the function's files")
    made.add_argument("--handler", default="lambda_function.handler", help="module.function")
    made.add_argument("--memory-mb", type=int, default=512, metavar="MB", help="128 to 10240")
    made.add_argument("--timeout-s", type=float, default=3.0, metavar="S", help="of a call")
    made.add_argument("--init-timeout-s", type=float, default=10.0, metavar="S", help="of a start")
    made.add_argument("--keep-alive-s", type=float, default=300.0, metavar="S", help="of an idle environment")
    made.add_argument("--reserved", type=int, default=None, metavar="N", help="reserved concurrency")
    made.add_argument("--provisioned", type=int, default=0, metavar="N", help="provisioned concurrency")
    made.add_argument(
        "--environment", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be repeated"
    )
    made.add_argument("--name", default="function", help="of the function")
    made.add_argument("--port", type=int, default=0, help="of the HTTP front; 0: the system's choice")
    return made


def main(argv: list[str] | None = None) -> int:
    """Serve until Ctrl-C, SIGTERM, or the end of the service; write its logs."""
    options = parser().parse_args(argv)

    def stop(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        function = LocalLambda(settings_from(options), port=options.port).start()
    except LabkitError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        print(
            f"{function.url} is the function's URL, {function.endpoint_url} its Invoke API; Ctrl-C stops it.",
            flush=True,
        )
        start = 0
        while True:
            lines, start = function.new_log_lines(start)
            for environment, text in lines:
                print(f"[{environment}] {text}", flush=True)
            time.sleep(LOOK_EVERY_S)
    except KeyboardInterrupt:
        print("Stopping: what was accepted is answered.", flush=True)
        function.stop()
        return 0
    except LabkitError as error:
        print(error, file=sys.stderr)
        function.stop(0)
        return 1


if __name__ == "__main__":
    sys.exit(main())
