"""%%mpi in a real Jupyter kernel: the Stop button, and what the next cell finds."""

import os
import sys
import time

import pytest
from jupyter_client.manager import KernelManager

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(200)]


class Notebook:
    """A kernel and a client of it."""

    def __init__(self, folder):
        environment = os.environ | {"IPYTHONDIR": str(folder)}
        self.manager = KernelManager(kernel_name="python3")
        self.manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager.start_kernel(env=environment, cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def execute(self, source, stop_when=None):
        """Run a cell; ``stop_when(text)`` presses Stop once what was printed so far satisfies it."""
        request = self.client.execute(source)
        text, error, stopped = "", None, False
        while True:
            message = self.client.get_iopub_msg(timeout=90)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text += content["text"]
            elif kind in ("display_data", "update_display_data"):
                text += content["data"].get("text/plain", "") + "\n"
            elif kind == "error":
                error = content
            elif kind == "status" and content["execution_state"] == "idle":
                return text, error
            if stop_when is not None and not stopped and stop_when(text):
                stopped = True
                time.sleep(1.0)
                self.manager.interrupt_kernel()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    notebook = Notebook(tmp_path_factory.mktemp("kernel"))
    assert notebook.execute("%load_ext labkit") == ("", None)
    yield notebook
    notebook.close()


def test_stop_while_the_engines_start(notebook):
    text, error = notebook.execute("%%mpi -n 2\npass", stop_when=lambda text: "Starting 2 MPI ranks" in text)
    assert error is None or error["ename"] == "KeyboardInterrupt"
    text, error = notebook.execute("%%mpi -n 2\ncomm.allreduce(1)")
    assert error is None and text.count("Out: 2") == 2


def test_stop_while_ranks_wait(notebook):
    notebook.execute("%%mpi -n 2\nkept = 7")
    text, error = notebook.execute(
        "%%mpi\nimport time\nprint('begun', flush=True)\nif comm.rank:\n    comm.recv(source=0)\ntime.sleep(60)",
        stop_when=lambda text: "begun" in text,
    )
    assert error["ename"] == "CellInterruptedError"
    shown = "\n".join(error["traceback"])
    assert "rank 1 waits in recv(source=0, tag=ANY_TAG), line 5" in shown
    assert "rank 0 computes, line 6" in shown
    assert "labkit/cluster" not in shown  # no frames of ours
    text, error = notebook.execute("%%mpi\nkept + comm.allreduce(1)")
    assert error is None and text.count("Out: 9") == 2


def test_a_verdict_reads_well_in_a_notebook(notebook):
    text, error = notebook.execute("%%mpi -n 2\ncomm.recv(source=1 - comm.rank)")
    assert error["ename"] == "DeadlockError"
    assert len(error["traceback"]) == 1 and "a cycle 0 -> 1 -> 0" in error["traceback"][0]
    text, error = notebook.execute("import sys\nprint(sys.last_value.graph.cycle)")
    assert (text, error) == ("(0, 1)\n", None)
