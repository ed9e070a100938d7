"""``check`` in real kernels: shown once, silent on stderr, and stopped by the Stop button."""

import os
import shutil
import sys
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
from jupyter_client.manager import KernelManager

from labkit.grading.exercise import exercise_names, exercises_folder, load_exercise
from labkit.grading.notebooks import build, notebook_path

pytestmark = [pytest.mark.timeout(200)]

NAME = "point_to_point/ring_pass"
CHECK = f'check("{NAME}", ring_pass)'


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """The exercises for kernels that start elsewhere, and nothing of the user's."""
    monkeypatch.setenv("LABKIT_EXERCISES", str(exercises_folder()))
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "progress.json"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")


def answer(which):
    return (load_exercise(NAME).folder / f"{which}.py").read_text()


def run(cells, folder):
    """The outputs of each cell; a cell may be (text, "error")."""
    made = [
        nbformat.v4.new_code_cell(cell) if isinstance(cell, str)
        else nbformat.v4.new_code_cell(cell[0], metadata={"tags": ["raises-exception"]}) for cell in cells
    ]
    notebook = nbformat.v4.new_notebook(cells=made)
    execute(notebook, folder)
    return [cell.outputs for cell in made]


def execute(notebook, folder):
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()


def text_of(outputs):
    """The text of the only output."""
    (output,) = outputs
    assert output.output_type in ("display_data", "execute_result"), output
    return output.data["text/plain"]


def test_a_check_is_shown_once_wherever_it_stands(surroundings, tmp_path):
    wrong = answer("wrong/sends_own_vector").replace("def ring_pass(comm, own):", 'def ring_pass(comm, own):\n    own[:0] / 0')
    definition, last, inside, again, hint, right, passed, renamed, refused = run([
        f"from labkit import check\nimport warnings; warnings.simplefilter('always')\n{wrong}",
        CHECK,
        f'found = check("{NAME}")\nverdict = found.verdict',
        "found",
        "found.hint()",
        answer("reference"),
        f"import logging\n{CHECK}; 3",
        "def my_ring(comm, own):\n    return own",
        (f'check("{NAME}", my_ring)', "error"),
    ], tmp_path)
    assert definition == right == renamed == []
    for outputs in (last, inside, again):
        text = text_of(outputs)
        assert text.startswith(f"INCORRECT  {NAME}  0 of 3 points\non rank 0,")
        assert f"For a hint: {CHECK}.hint()" in text
        assert "application/vnd.jupyter.widget-view+json" in outputs[0].data
    assert text_of(hint) == f"Hint 1 of 3: {load_exercise(NAME).hints[0]}"
    shown, three = passed
    assert shown.data["text/plain"].startswith(f"PASSED  {NAME}  3 of 3 points\nall ")
    assert three.data["text/plain"] == "3"
    (error,) = refused
    assert error.ename == "UsageError" and "asks for a function named ring_pass, not my_ring" in error.evalue
    assert len(error.traceback) == 1  # the message alone


def test_unanswered_notebooks_run_to_their_end(surroundings, tmp_path):
    folder = tmp_path / "exercises"
    shutil.copytree(exercises_folder(), folder)
    build(folder)
    num_checks = 0
    for topic in sorted(path for path in folder.iterdir() if path.is_dir()):
        notebook = nbformat.read(notebook_path(topic.name, folder), 4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert code[0].source == "from labkit import check"
        execute(notebook, tmp_path)
        for cell in code:
            if cell.metadata.get("labkit", {}).get("role") == "check":
                assert text_of(cell.outputs).startswith(f"NOT ATTEMPTED  {cell.metadata.labkit.exercise}  0 of ")
                num_checks += 1
            else:
                assert cell.outputs == []
    assert num_checks == len(exercise_names())


class Kernel:
    """A kernel and a client of it."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def execute(self, source, stop_after_s=None):
        """Run a cell; press Stop so long after the check was first shown. Texts, error, and what came on stderr."""
        request = self.client.execute(source)
        texts, error, errors = [], None, ""
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                texts, errors = [*texts, content["text"]], errors + content["text"] * (content["name"] == "stderr")
            elif kind in ("display_data", "update_display_data"):
                texts.append(content["data"]["text/plain"])
                if stop_after_s is not None and kind == "display_data":
                    time.sleep(stop_after_s)
                    self.manager.interrupt_kernel()
            elif kind == "error":
                error = content
            elif kind == "status" and content["execution_state"] == "idle":
                return texts, error, errors

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@pytest.fixture
def kernel(surroundings):
    kernel = Kernel()
    yield kernel
    kernel.close()


FOR_EVER = "def ring_pass(comm, own):\n    while True:\n        pass"
FOR_EVER_ON_REAL_RANKS = answer("reference").replace(
    "    token = own.copy()\n", "    while type(comm).__module__.startswith('mpi4py'):\n        pass\n    token = own.copy()\n"
)


@pytest.mark.mpi
@pytest.mark.parametrize("source, stop_after_s", [(FOR_EVER, 3.0), (FOR_EVER_ON_REAL_RANKS, 8.0)], ids=["simulated", "real"])
def test_stop_ends_the_check_and_its_processes(kernel, source, stop_after_s):
    assert kernel.execute(f"from labkit import check\n{source}") == ([], None, "")
    texts, error, errors = kernel.execute(CHECK, stop_after_s)
    assert errors == ""
    assert error["ename"] == "CellInterruptedError" and "its processes have been ended" in error["evalue"]
    assert texts[0] == f"checking {NAME} ..." and texts[-1].startswith(f"NOT CHECKED  {NAME}\nIt was stopped")
    children = "import psutil; print([p.cmdline()[-4:] for p in psutil.Process().children(recursive=True)])"
    assert kernel.execute(children)[0] == ["[]\n"]
    # The next check is as good as the first.
    kernel.execute(answer("reference"))
    texts, error, errors = kernel.execute(CHECK)
    assert error is None and errors == "" and texts[-1].startswith("PASSED")
