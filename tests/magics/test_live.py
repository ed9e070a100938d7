"""``%%mpi --trace --live`` in a shell without a page, and in a real kernel."""

import os
import re
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import KernelManager

from labkit.errors import UsageError

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(200)]

FIGURE = "application/vnd.plotly.v1+json"
VIEW = "application/vnd.jupyter.widget-view+json"
CELL = "import time\ncomm.sendrecv(1, 1 - comm.rank, 0, None, 1 - comm.rank)\ntime.sleep(1.2)\nprint('done')"
WIDGET = (
    "from ipywidgets.widgets.widget import _instances\nfrom labkit.widgets.live_timeline import LiveTimeline\n"
    "lives = [w for w in _instances.values() if isinstance(w, LiveTimeline)]\nlive = lives[-1]  # the newest\n"
    "print(len(lives), live._thread.is_alive(), live.figure.layout.title.text)"
)


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    yield shell
    shell.run_line_magic("mpi_stop", "")


def run(shell, line, cell):
    with capture_output() as captured:
        shell.run_cell_magic("mpi", line, cell)
    return re.sub(r"\x1b\[[0-9;]*m", "", captured.stdout), [sorted(output.data) for output in captured.outputs]


def test_a_shell_without_a_page_shows_what_it_always_does(shell):
    run(shell, "-n 2", "pass")
    for line in ("--trace", "--trace --live"):
        text, shown = run(shell, line, CELL)
        assert sorted(text.splitlines()) == ["rank 0 │ done", "rank 1 │ done"]  # they print at about the same time
        assert shown == [[FIGURE, "text/plain"]]
    assert len(shell.user_ns["_timeline"].messages) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [("--live", "write --trace --live"), ("--sim 2 --trace --live", "--live follows real ranks"), ("--sim 2 --live", "real ranks")],
)
def test_live_without_what_it_needs_is_refused(shell, line, words):
    with pytest.raises(UsageError, match=words):
        shell.run_cell_magic("mpi", line, "pass")


class Kernel:
    """A Jupyter kernel without a page: what it sends for each cell."""

    def __init__(self, folder):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager.start_kernel(env=os.environ | {"IPYTHONDIR": str(folder)}, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def execute(self, source, on_message=lambda kind, content: None):
        """The text, the kinds of what is displayed, and the error of a cell."""
        request = self.client.execute(source)
        text, displays, error = "", [], None
        while True:
            message = self.client.get_iopub_msg(timeout=90)
            kind, content = message["msg_type"], message["content"]
            on_message(kind, content)
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind == "stream":
                text += re.sub(r"\x1b\[[0-9;]*m", "", content["text"])
            elif kind == "display_data":
                displays.append(sorted(content["data"]))
            elif kind == "error":
                error = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return text, displays, error

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    assert kernel.execute("%load_ext labkit") == ("", [], None)
    kernel.execute("%%mpi -n 2\npass")
    yield kernel
    kernel.close()


def test_the_widget_has_no_text_and_stays_with_the_whole_run(kernel):
    text, displays, error = kernel.execute(f"%%mpi --trace --live\n{CELL}")
    assert (sorted(text.splitlines()), error) == (["rank 0 │ done", "rank 1 │ done"], None)
    assert displays == [[VIEW], [FIGURE, "text/plain"]]
    text, _, error = kernel.execute(WIDGET)
    assert error is None and text.startswith("1 False At 1.")
    assert "2 ranks, 6 calls, 2 messages" in text


def test_calls_reach_the_page_before_the_cell_has_ended(kernel, tmp_path):
    go = tmp_path / "go"
    seen = []

    def look(kind, content):
        if kind == "comm_msg" and "2 messages" in str(content["data"]) and not go.exists():
            seen.append("calls")
            go.touch()
        elif kind == "stream" and "done" in content["text"]:
            seen.append("done")

    text, _, error = kernel.execute(
        "%%mpi --trace --live --timeout 60\nimport os, time\ncomm.sendrecv(1, 1 - comm.rank, 0, None, 1 - comm.rank)\n"
        f"while not os.path.exists({str(go)!r}):\n    time.sleep(0.01)\nprint('done')",
        look,
    )
    assert error is None and seen[:2] == ["calls", "done"]


@pytest.mark.parametrize(
    ("line", "cell", "ename", "words"),
    [
        ("", "comm.Barrier()\ncomm.recv(source=1 - comm.rank)", "DeadlockError", "2 calls"),
        ("--timeout 1", "import time\ncomm.Barrier()\ntime.sleep(60)", "CellTimeoutError", "2 calls"),
        ("", "import time\ncomm.Barrier()\ntime.sleep(0.7)\n1 / comm.rank", "RankFailedError", "2 calls"),
        ("", "import os, time\ncomm.Barrier()\ntime.sleep(1.5)\nif comm.rank:\n    os._exit(3)\ntime.sleep(60)", "RankDiedError", "2 calls"),
        ("", "import time\ntime.sleep(0.7)", None, "nothing has been communicated"),
        ("", "pass", None, "nothing has been communicated"),
    ],
)
def test_the_view_ends_however_the_cell_ends(kernel, line, cell, ename, words):
    _, displays, error = kernel.execute(f"%%mpi -n 2 --trace --live {line}\n{cell}")
    assert error == ename and displays.count([VIEW]) == 1
    text, _, error = kernel.execute(WIDGET)
    assert error is None and " False At " in text and words in text
