"""A real JupyterLab on this machine, and a page of it in headless Chromium."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlparse

import nbformat
import nbformat.reader
import pytest

from labkit.lab import find_port, lab_command, lab_environment

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TOKEN = "a-token-for-tests"
START_TIMEOUT_S = 60
WAIT_MS = 90_000  # for anything on a page: other tests use the same processors
GIVEN_UP = "[anywidget] Failed to initialize model"
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
]


class LabServer:
    """JupyterLab as ``make lab`` starts it, on a folder of its own; ends with its process group."""

    def __init__(self, root: Path):
        self.root = root
        self.port = find_port(random.randrange(10_000, 30_000))  # other tests start Labs at the same time
        (root / ".home").mkdir(exist_ok=True)
        environment = lab_environment(TOKEN)
        # Nothing of the user's own settings and measurements, and none written.
        private = ("JUPYTER_CONFIG_DIR", "IPYTHONDIR", "XDG_CACHE_HOME")
        environment |= {name: str(root / ".home" / name) for name in private}
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

    def ask(self, method: str, path: str) -> bytes:
        """What the server answers to one request."""
        headers = {"Authorization": f"token {TOKEN}"}
        request = urllib.request.Request(f"{self.address}/api/{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def end_kernels(self) -> None:
        """Close all notebooks: the next test finds a Lab in which nothing runs."""
        for session in json.loads(self.ask("GET", "sessions")):
            self.ask("DELETE", f"sessions/{session['id']}")
        assert json.loads(self.ask("GET", "kernels")) == []

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
        self.given_up = 0  # models that anywidget gave up, because the page was busy; labkit.widgets.heard mends them
        self.received_bytes = 0
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: message.type == "error" and self._note_error(message.text))
        page.on("pageerror", lambda error: self._note_error(str(error)))
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _note_error(self, text: str) -> None:
        if GIVEN_UP in text:
            self.given_up += 1
        else:
            self.errors.append(text)

    def _count(self, frame) -> None:
        self.received_bytes += len(frame)

    def open(self, path: str) -> None:
        """Open a notebook, in a workspace of its own, and wait for its kernel."""
        self.path = self.server.root / path
        workspace = quote(path.replace("/", "-").replace(".", "-"))
        self.page.goto(f"{self.server.address}/lab/workspaces/{workspace}/tree/{quote(path)}?token={TOKEN}")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")
        self.page.get_by_text("| Idle").wait_for()

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
        self.page.get_by_text("| Idle").wait_for()  # what it said last may come after the number of its cell
        self.page.wait_for_timeout(500)

    def saved(self) -> nbformat.NotebookNode:
        """File > Save Notebook, and what is in the file then."""
        before = self.path.stat().st_mtime_ns
        self.page.get_by_role("menuitem", name="File", exact=True).click()
        self.page.get_by_text("Save Notebook", exact=True).click()
        deadline = time.monotonic() + WAIT_MS / 1000
        while self.path.stat().st_mtime_ns == before:
            assert time.monotonic() < deadline, "the notebook was not saved"
            self.page.wait_for_timeout(100)
        while True:
            try:
                return nbformat.read(self.path, 4)
            except (nbformat.reader.NotJSONError, FileNotFoundError):  # not all is written
                assert time.monotonic() < deadline, "the notebook was not saved whole"
                self.page.wait_for_timeout(100)

    def wait_for_figures(self, number: int) -> None:
        """So many are drawn, and no more are there."""
        from playwright.sync_api import expect

        expect(self.page.locator(".js-plotly-plot")).to_have_count(number)
        expect(self.page.locator(".js-plotly-plot:has(.main-svg)")).to_have_count(number)

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


def environment_now() -> dict[str, str]:
    """What a server started now inherits, without the name of the test."""
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def run_lesson(lab, name: str) -> LabPage:
    """Run a lesson from top to bottom: no errors but those it is meant to have, and not a word on stderr.

    tests/notebooks looks for the calls of this function, and runs in another way what it does not find.
    """
    page = lab(NOTEBOOKS / f"{name}.ipynb")
    assert page.page.locator(".jp-Dialog").count() == 0
    page.run_all(timeout_s=300)
    check_outputs(page.saved())
    return page


def check_outputs(notebook: nbformat.NotebookNode) -> None:
    """Every cell has run; exactly those fail that are meant to; nothing is on stderr, where warnings are."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert cell.execution_count is not None, f"has not run: {cell.source}"
        meant_to_fail = "raises-exception" in cell.metadata.get("tags", [])
        kinds = [output.output_type for output in cell.outputs]
        assert ("error" in kinds) == meant_to_fail, cell.source
        said = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stderr"]
        assert not said, f"{cell.source}\n{said}"
