"""``labkit run``: notebooks without a browser, and nothing left over in any ending."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import v4

from labkit.errors import UsageError
from labkit.run.command import split_cluster
from labkit.run.notebook import merge_streams

pytestmark = pytest.mark.timeout(200)

LESSON = Path(__file__).parents[1] / "notebooks/00_start_here.ipynb"
WAIT_S = 60.0  # for what must happen, on a busy machine
SLEEP = "import time\nprint('asleep', flush=True)\nopen('asleep', 'w').close()\ntime.sleep(150)"
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nkernel.pre_handler_hook = lambda: None"


class Command:
    """``labkit run`` in processes that can be found again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.environment = dict(os.environ, LABKIT_TEST_MARK=self.mark, IPYTHONDIR=str(folder / "ipython"))
        self.environment["XDG_CACHE_HOME"] = str(folder / "cache")
        for name in ("LABKIT_CLUSTER", "PYTEST_CURRENT_TEST"):  # ipykernel is another one under pytest
            self.environment.pop(name, None)

    def start(self, *words):
        return subprocess.Popen(
            [sys.executable, "-m", "labkit", "run", *map(str, words)], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )

    def __call__(self, *words):
        """Exit status, stdout and stderr."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=150)
        return process.returncode, out, errors

    def processes(self):
        """Everything that was started for the runs and still is there, wherever it hangs in the tree."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("LABKIT_TEST_MARK") == self.mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def left_over(self):
        """What is still there after the time that processes get to see that their owner is gone."""
        deadline = time.monotonic() + WAIT_S
        while (found := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [process.cmdline() for process in found]

    def wait_for_sleep(self, process):
        """Until the cell SLEEP sleeps."""
        deadline = time.monotonic() + WAIT_S
        while not (self.folder / "asleep").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"the cell did not begin; exit status {process.poll()}:\n{''.join(process.communicate())}")
            time.sleep(0.05)


@pytest.fixture
def run(tmp_path):
    command = Command(tmp_path)
    yield command
    for process in command.processes():  # of a test that failed
        process.kill()


def write(path: Path, *sources, **metadata) -> Path:
    """A notebook of code cells; one may be (source, tag)."""
    cells = [
        v4.new_code_cell(source, metadata={"tags": tags})
        for source, *tags in ((s,) if isinstance(s, str) else s for s in sources)
    ]
    nbformat.write(v4.new_notebook(cells=[v4.new_markdown_cell("# A lesson"), *cells], metadata=metadata), path)
    return path


def outputs(path: Path):
    """Of each code cell, the texts and the names of errors."""
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    return [
        [o.get("text") or o.get("ename") or o.data["text/plain"] for o in cell.outputs]
        for cell in notebook.cells if cell.cell_type == "code"
    ]


# -- endings ----------------------------------------------------------------------------------------


def test_values_folder_environment_and_progress(run, tmp_path):
    (tmp_path / "sub").mkdir()
    path = write(
        tmp_path / "sub/a.ipynb", "x = 6", "", "import os\nprint(os.getcwd(), os.environ.get('LABKIT_CLUSTER'))\nx * 7",
        "import sys; os.system('echo past Jupyter; echo so too >&2')\nprint(sys.executable)",
        kernelspec={"name": "not-installed-here", "display_name": "My Python", "language": "python"},
    )
    before = path.read_bytes()
    status, out, errors = run(path)
    assert (status, run.left_over()) == (0, [])
    assert out.startswith("3 of 3 cells ran in ") and out.endswith(f"wrote {tmp_path}/sub/a_executed.ipynb\n")
    lines = errors.splitlines()
    assert [line.split(",")[0] for line in lines] == ["cell 1 of 3", "cell 2 of 3", "cell 3 of 3"]
    assert lines[0].startswith("cell 1 of 3, 0:") and lines[0].endswith(", x = 6")
    assert path.read_bytes() == before
    _, empty, values, system = outputs(tmp_path / "sub/a_executed.ipynb")
    assert empty == [] and values == [f"{tmp_path / 'sub'} None\n", "42"]
    assert f"{sys.executable}\n" in "".join(system)  # whatever came past Jupyter may come too late


def test_the_first_failed_cell_ends_the_run(run, tmp_path):
    path = write(tmp_path / "a.ipynb", "1", "# a\n# b\n# c\n# d\n# e\n# f\n1 / 0", "3")
    status, out, errors = run(path, "--out", tmp_path / "b.ipynb")
    assert (status, run.left_over()) == (1, [])
    assert "2 of 3 cells ran" in out and "1 failed" in out
    told = errors[errors.index("labkit run: ") :].splitlines()
    assert told[:7] == ["labkit run: cell 2 of 3 failed:", *(f"    # {c}" for c in "abcde"), "    ..."]
    assert told[-1] == "ZeroDivisionError: division by zero" and "\x1b" not in errors
    assert outputs(tmp_path / "b.ipynb") == [["1"], ["ZeroDivisionError"], []]


def test_keep_going_and_tags(run, tmp_path):
    path = write(
        tmp_path / "a.ipynb", "1 / 0", ("[][1]", "raises-exception"), ("2 / 0", "skip-execution"), "4", "{}[5]", "6"
    )
    status, out, errors = run("--keep-going", path)
    assert (status, run.left_over()) == (1, [])
    assert "5 of 5 cells ran" in out and "2 failed" in out
    assert "cell 1 of 5 failed:" in errors and "cell 2 of 5 failed" not in errors and "cell 4 of 5 failed:" in errors
    expected = [["ZeroDivisionError"], ["IndexError"], [], ["4"], ["KeyError"], ["6"]]
    assert outputs(tmp_path / "a_executed.ipynb") == expected


def test_a_cell_that_is_meant_to_fail_is_no_failure(run, tmp_path):
    status, _, _ = run(write(tmp_path / "a.ipynb", ("1 / 0", "raises-exception"), "2"))
    assert status == 0 and outputs(tmp_path / "a_executed.ipynb") == [["ZeroDivisionError"], ["2"]]


def test_the_time_limit_is_a_cells(run, tmp_path):
    path = write(tmp_path / "a.ipynb", SLEEP, "2", ("import time; time.sleep(150)", "raises-exception"))
    status, out, errors = run(path, "--timeout", "2.5", "--keep-going")
    assert (status, run.left_over()) == (1, [])
    assert "cell 1 of 3 was interrupted: it ran longer than --timeout 2.5 s:" in errors and "2 failed" in out
    assert outputs(tmp_path / "a_executed.ipynb") == [["asleep\n", "KeyboardInterrupt"], ["2"], ["KeyboardInterrupt"]]


def test_a_deaf_cell_loses_its_kernel(run, tmp_path):
    path = write(tmp_path / "a.ipynb", f"kernel = get_ipython().kernel\n{DEAF}", f"{DEAF}\n{SLEEP}", "3")
    status, _, errors = run(path, "--timeout", "2", "--keep-going")
    assert (status, run.left_over()) == (1, [])
    assert "cell 2 of 3 failed, and the kernel is gone with all variables:" in errors and "its time was up" in errors
    assert outputs(tmp_path / "a_executed.ipynb") == [[], ["asleep\n", "DeadKernelError"], []]


def test_a_kernel_that_dies(run, tmp_path):
    path = write(tmp_path / "a.ipynb", "1", "import os\nos.write(2, b'x')\nos.kill(os.getpid(), 9)", "3")
    status, _, errors = run(path, "--keep-going")
    assert (status, run.left_over()) == (1, [])
    assert "DeadKernelError: the process of the kernel ended while the cell ran." in errors
    assert [found[-1:] for found in outputs(tmp_path / "a_executed.ipynb")] == [["1"], ["DeadKernelError"], []]


@pytest.mark.mpi
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_end_kernel_and_engines(run, tmp_path, number):
    path = write(tmp_path / "a.ipynb", "%load_ext labkit", "%%mpi -n 2\nprint(comm.size)", f"%%mpi\n{SLEEP}", "4")
    before = path.read_bytes()
    process = run.start(path)
    run.wait_for_sleep(process)
    assert len(run.processes()) >= 4  # this command, the kernel, and two ranks at least
    process.send_signal(number)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 128 + number
    assert run.left_over() == []
    assert f"stopped by {number.name} after 0:" in errors
    assert f"in cell 3 of 4; wrote {tmp_path}/a_executed.ipynb" in errors
    assert "Traceback" not in errors and path.read_bytes() == before
    _, sizes, stopped, never = outputs(tmp_path / "a_executed.ipynb")
    assert "".join(sizes).count("2\n") == 2 and stopped[-1] == "CellInterruptedError" and never == []


@pytest.mark.mpi
def test_sigkill_ends_kernel_and_engines_too(run, tmp_path):
    process = run.start(write(tmp_path / "a.ipynb", "%load_ext labkit", f"%%mpi -n 2\n{SLEEP}"))
    run.wait_for_sleep(process)
    assert len(run.processes()) >= 4
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert run.left_over() == []


def test_a_second_signal_does_not_wait_for_the_cell(run, tmp_path):
    process = run.start(write(tmp_path / "a.ipynb", f"kernel = get_ipython().kernel\n{DEAF}", f"{DEAF}\n{SLEEP}"))
    run.wait_for_sleep(process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and run.left_over() == []
    assert outputs(tmp_path / "a_executed.ipynb") == [[], ["asleep\n", "DeadKernelError"]]


# -- what a notebook may contain ------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, expected", [
        (["-n", "3"], "local -n 3"),
        (["--cluster", "slurm", "-n", "8", "--folder", "/a b", "--timeout", "60"], "slurm -n 8 --folder '/a b'"),
        (["--cluster", "slurm -n 8 --nodes 2"], "slurm -n 8 --nodes 2"),
        (["--cluster=slurm", "-n", "8"], "slurm -n 8"),
    ],
)
def test_the_cluster_reaches_the_kernel(run, tmp_path, words, expected):
    path = write(tmp_path / "a.ipynb", "import os; print(os.environ['LABKIT_CLUSTER'])")
    assert run(path, *words)[0] == 0
    assert outputs(tmp_path / "a_executed.ipynb") == [[f"{expected}\n"]]


@pytest.mark.mpi
def test_mpi_cells(run, tmp_path):
    path = write(tmp_path / "a.ipynb", "%load_ext labkit", "%%mpi -n 3\nprint(comm.size * 100 + comm.rank)")
    status, _, errors = run(path, "-n", "3")
    assert (status, run.left_over()) == (0, [])
    assert "%%mpi -n 3" in errors
    text = "".join(outputs(tmp_path / "a_executed.ipynb")[1])
    assert all(str(value) in text for value in (300, 301, 302)) and "303" not in text


def test_widgets_and_their_state(run, tmp_path):
    source = "import ipywidgets as w, warnings\nwarnings.simplefilter('always')\nslider = w.IntSlider(3)\nslider"
    output = "out = w.Output()\nwith out: print('inside')\nslider.value = 8\nout"
    status, _, errors = run(write(tmp_path / "a.ipynb", source, output))
    assert status == 0 and "arn" not in errors.replace("import ipywidgets as w, warnings", "")
    notebook = nbformat.read(tmp_path / "a_executed.ipynb", 4)
    states = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"].state.values()
    assert [s.state.value for s in states if s.model_name == "IntSliderModel"] == [8]
    assert [s.state.outputs[0].text for s in states if s.model_name == "OutputModel"] == ["inside\n"]
    assert not [o for cell in notebook.cells[1:] for o in cell.outputs if o.output_type == "stream"]


def test_many_and_large_outputs_arrive_whole(run, tmp_path):
    path = write(
        tmp_path / "a.ipynb", "print('x' * 20_000_000)",
        "from IPython.display import display\nfor i in range(6000): display({'text/plain': str(i)}, raw=True)",
        "for i in range(3000): print(i, flush=True)",
    )
    assert run(path)[0] == 0
    large, displays, prints = outputs(tmp_path / "a_executed.ipynb")
    assert large == ["x" * 20_000_000 + "\n"]
    assert displays == [str(i) for i in range(6000)]
    assert prints == ["".join(f"{i}\n" for i in range(3000))]  # one output, as JupyterLab has it


def test_an_update_of_an_earlier_display_finds_it(run, tmp_path):
    shows = "print(1, flush=True); print(2, flush=True)\nh = display(3, display_id=True)"
    path = write(tmp_path / "a.ipynb", shows, "h.update(4)")
    assert run(path)[0] == 0
    assert outputs(tmp_path / "a_executed.ipynb") == [["1\n2\n", "4"], []]


def test_streams_are_merged_with_neighbours_only():
    def stream(name, text):
        return v4.new_output("stream", name=name, text=text)

    def display(text):
        return v4.new_output("display_data", {"text/plain": text})

    found = merge_streams([
        stream("stdout", "a"), stream("stdout", "b"), stream("stderr", "c"), stream("stdout", "d"),
        display("e"), display("f"), stream("stdout", "g"),
    ])
    assert [o.get("text") or o.data["text/plain"] for o in found] == ["ab", "c", "d", "e", "f", "g"]


def test_old_formats(run, tmp_path):
    old = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    cell = {"cell_type": "code", "metadata": {}, "outputs": old, "source": "6 * 7", "execution_count": 1}
    v40 = {"nbformat": 4, "nbformat_minor": 0, "metadata": {}, "cells": [cell]}
    cell3 = {"cell_type": "code", "collapsed": False, "language": "python", "metadata": {}, "outputs": []}
    cell3["input"] = "6 * 7"
    sheets = [{"cells": [cell3], "metadata": {}}]
    v3 = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": sheets}
    for name, content in (("v40", v40), ("v3", v3)):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(content))
        status, _, errors = run(f"{name}.ipynb")
        assert status == 0 and "arning" not in errors
        assert outputs(tmp_path / f"{name}_executed.ipynb") == [["42"]]


@pytest.mark.mpi
@pytest.mark.timeout(300)
def test_lesson_00(run, tmp_path):
    shutil.copy(LESSON, tmp_path / "lesson.ipynb")
    status, out, errors = run("lesson.ipynb", "--out", "done.ipynb")
    assert (status, run.left_over()) == (0, []), errors
    notebook = nbformat.read(tmp_path / "done.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert f"{len(code)} of {len(code)} cells ran" in out


# -- files and words ------------------------------------------------------------------------------


def test_out_may_be_the_notebook_itself(run, tmp_path):
    path = write(tmp_path / "a.ipynb", "6 * 7")
    assert run(path, "--out", path)[0] == 0
    assert outputs(path) == [["42"]]
    assert {entry.name for entry in tmp_path.glob("*a.ipynb*")} == {"a.ipynb"}  # no temporary file is left


JULIA = {"kernelspec": {"name": "julia", "display_name": "Julia", "language": "julia"}}
V45 = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}


@pytest.mark.parametrize("content, reason", [
    ("{broken", "is not a notebook"),
    ("[]", "is not a notebook"),
    ("{}", "is not a notebook"),
    ("", "is not a notebook"),
    (json.dumps(V45 | {"cells": [{"cell_type": "code"}]}), "is not a notebook"),
    (json.dumps(V45 | {"metadata": JULIA}), "is in julia"),
    (b"\xff\xfe", "is not a notebook"),
])
def test_files_that_cannot_run(run, tmp_path, content, reason):
    (tmp_path / "a.ipynb").write_bytes(content if isinstance(content, bytes) else content.encode())
    status, out, errors = run("a.ipynb")
    assert (status, out) == (2, "") and reason in errors and errors.count("\n") == 1
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".ipynb"] == ["a.ipynb"]


@pytest.mark.parametrize("words, reason", [
    (["missing.ipynb"], "there is no such file"),
    (["a.ipynb", "--out", "nowhere/b.ipynb"], "nowhere/b.ipynb cannot be written"),
    (["a.ipynb", "--out", "a.ipynb/b.ipynb"], "a.ipynb/b.ipynb cannot be written"),
    (["a.ipynb", "--out", "."], "is a folder"),
    (["a.ipynb", "--timeout", "0"], "above 0"),
    (["a.ipynb", "--timeout", "nan"], "above 0"),
    (["a.ipynb", "-n", "0"], "at least 1 rank"),
    (["a.ipynb", "--cluster"], "name its kind first"),
    (["a.ipynb", "--cluster", "slurm -n 8 --dry-run"], "--dry-run shows a job script"),
    (["a.ipynb", "--cluster", "nosuch"], "neither a kind of cluster"),
    (["a.ipynb", "--cluster", "slurm --nodes 9 -n 8"], "every node needs at least one rank"),
    (["a.ipynb", "--cluster", "slurm -n 8", "-n", "4"], "say once how many ranks"),
    (["a.ipynb", "--keep"], "unrecognized arguments"),
    ([], "NOTEBOOK.ipynb"),
])
def test_bad_usage(run, tmp_path, words, reason):
    write(tmp_path / "a.ipynb", "open('it_ran', 'w')")
    status, out, errors = run(*words)
    assert (status, out) == (2, "") and reason in errors and "Traceback" not in errors
    assert not (tmp_path / "it_ran").exists()


def test_no_kernel(run, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')\n")
    run.environment["PYTHONPATH"] = f"{tmp_path / 'broken'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    status, out, errors = run(write(tmp_path / "a.ipynb", "1"))
    assert (status, out, run.left_over()) == (2, "", [])
    assert "the kernel did not start" in errors and "no kernel today" in errors
    assert not (tmp_path / "a_executed.ipynb").exists()


@pytest.mark.parametrize("argv, own, words", [
    (["a.ipynb", "-n", "2"], ["a.ipynb", "-n", "2"], []),
    (["--cluster", "pbs", "--keep", "-t", "1", "a.ipynb", "--keep-going"], ["a.ipynb", "--keep-going"],
     ["pbs", "--keep", "-t", "1"]),
    (["a.ipynb", "--cluster", "my site", "--out=b.ipynb"], ["a.ipynb", "--out=b.ipynb"], ["my", "site"]),
    (["--cluster", "slurm", "--", "notebook"], ["--", "notebook"], ["slurm"]),
    (["--cluster=ssh --hosts 'a b'", "a.ipynb"], ["a.ipynb"], ["ssh", "--hosts", "a b"]),
])
def test_words_of_the_cluster(argv, own, words):
    assert split_cluster(argv) == (own, words)


@pytest.mark.parametrize(
    "argv", [["--cluster", "a", "--cluster", "b"], ["--cluster", "-n", "8"], ["--cluster", "a 'b"], ["--cluster="]]
)
def test_words_that_are_no_cluster(argv):
    with pytest.raises(UsageError):
        split_cluster(argv)
