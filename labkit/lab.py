"""Starting JupyterLab with the first lesson, without prompts and without touching user settings."""

from __future__ import annotations

import argparse
import http.client
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path

from labkit.errors import NotAvailableError, UsageError

FIRST_LESSON = "notebooks/00_start_here.ipynb"
CONFIG = Path(__file__).parent / "lab_config"
PORTS_TO_TRY = 50


def find_port(first: int) -> int:
    """The first free port of this machine from ``first`` on."""
    if not 1 <= first <= 65535:
        raise UsageError(f"--port {first}: a port is a number from 1 to 65535.")
    for port in range(first, min(first + PORTS_TO_TRY, 65536)):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NotAvailableError(
        f"The ports {first} to {first + PORTS_TO_TRY - 1} are all in use: name another with PORT=."
    )


def lab_root() -> Path:
    """The folder Lab shows: the checkout the package lies in, else the current folder."""
    checkout = Path(__file__).parent.parent
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def lab_command(root: Path, port: int, browser: bool) -> list[str]:
    """The command that starts JupyterLab."""
    lesson = FIRST_LESSON if (root / FIRST_LESSON).exists() else ""
    return [
        sys.executable, "-m", "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.base_url=/",  # whatever the user's own settings say, the printed address is right
        "--ServerApp.certfile=",
        "--ServerApp.keyfile=",
        f"--LabApp.default_url=/lab/tree/{lesson}" if lesson else "--LabApp.default_url=/lab",
        f"--ServerApp.open_browser={browser}",
        "--ServerApp.allow_root=True",
        "--ServerApp.answer_yes=True",  # Ctrl-C ends it without asking
        "--log-level=40",
    ]


def lab_environment(token: str) -> dict[str, str]:
    """The environment Lab runs in: our settings first, this Python's programs and kernel first.

    The token is here and not on the command line, which every user of a machine can read.
    """
    environment = dict(os.environ, JUPYTER_TOKEN=token, JUPYTER_PREFER_ENV_PATH="1")
    paths = [str(CONFIG), environment.get("JUPYTER_CONFIG_PATH", "")]
    environment["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in paths if path)
    bin_folder = str(Path(sys.executable).parent)
    environment["PATH"] = bin_folder + os.pathsep + environment.get("PATH", "")
    return environment


def main(argv: list[str] | None = None) -> int:
    """``labkit lab [--port 8888] [--browser yes|no]``: start JupyterLab; Ctrl-C ends it."""
    parser = argparse.ArgumentParser(prog="labkit lab", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8888)
    parser.add_argument("--browser", choices=("yes", "no"), default="yes")
    options = parser.parse_args(argv)
    root, port = lab_root(), find_port(options.port)
    if port != options.port:
        print(f"Port {options.port} is in use; taking {port}.")
    token = secrets.token_urlsafe(24)
    process = subprocess.Popen(
        lab_command(root, port, options.browser == "yes"), env=lab_environment(token), cwd=root
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a kill must not leave Lab behind
    try:
        if _wait_until_up(process, port, token):
            lesson = FIRST_LESSON if (root / FIRST_LESSON).exists() else ""
            print(f"JupyterLab runs at\n\n    http://127.0.0.1:{port}/lab/tree/{lesson}?token={token}\n")
            print("Open this address in a browser on this machine. Ctrl-C ends it.", flush=True)
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
        print("\nJupyterLab has ended.")
        return 0


def _wait_until_up(process: subprocess.Popen, port: int, token: str) -> bool:
    """Until the server that answers is the one with our token; False if it ended instead."""
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/status", headers={"Authorization": f"token {token}"})
            if connection.getresponse().status == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
    return False
