"""A real JupyterLab on this machine, and a page of it in headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlparse

import pytest

from labkit.lab import find_port, lab_command, lab_environment

TOKEN = "a-token-for-tests"
START_TIMEOUT_S = 60
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]


class LabServer:
    """JupyterLab as ``make lab`` starts it, on a folder of its own; ends with its process group."""

    def __init__(self, root: Path):
        self.root = root
        self.port = find_port(9400)
        environment = lab_environment(TOKEN)
        # Nothing of the user's own settings, and none written.
        environment |= {name: str(root / ".home" / name) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
        self.log = open(root / "lab.log", "wb")
        self.process = subprocess.Popen(
            lab_command(root, self.port, browser=False), cwd=root, env=environment,
            stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/api/status?token={TOKEN}", timeout=2).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise AssertionError((root / "lab.log").read_text()) from None
                time.sleep(0.2)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server and its kernels."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()


class LabPage:
    """A notebook in Lab, and what the page has asked for, received and complained about."""

    def __init__(self, page, server: LabServer):
        self.page, self.server = page, server
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.received_bytes = 0
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, frame) -> None:
        self.received_bytes += len(frame)

    def open(self, path: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{self.server.address}/lab/tree/{path}?token={TOKEN}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.get_by_text("| Idle").wait_for(timeout=60_000)

    def run_all(self, timeout_s: float) -> None:
        """Run > Run All Cells, and wait until every code cell has its number."""
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_text("Run All Cells", exact=True).click()
        try:
            self.page.wait_for_function(
                "() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
                ".every(prompt => /^\\[\\d+\\]/.test(prompt.textContent))",
                timeout=timeout_s * 1000,
            )
        except Exception:
            self.page.screenshot(path=str(self.server.root / "not_finished.png"), full_page=True)
            raise
        self.page.wait_for_timeout(1500)

    @property
    def foreign_requests(self) -> list[str]:
        """Requests that left this machine."""
        own = {"127.0.0.1", "localhost", ""}
        return [url for url in self.requests if urlparse(url).scheme.startswith("http") and urlparse(url).hostname not in own]


def find_chromium() -> str:
    """The browser of the tests, or a skip that says how to get it."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Chromium on the PATH; install it, for example: sudo apt install chromium")


