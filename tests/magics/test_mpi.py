"""The magics in an IPython shell, on real ranks."""

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from labkit.cluster.transfer import size_of
from labkit.errors import DeadlockError, RankFailedError, UsageError
from labkit.trace.timeline import Timeline

pytestmark = pytest.mark.mpi


@pytest.fixture(scope="module")
def shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "labkit")
    yield shell
    shell.run_line_magic("mpi_stop", "")


def run(shell, line, text):
    with capture_output() as captured:
        shell.run_cell_magic("mpi", line, text)
    return captured


def plain(text):
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_output_is_kept_apart_by_rank_and_in_order(shell):
    captured = run(shell, "-n 3", "for k in range(2):\n    print('line', k, 'of', comm.rank)\ncomm.rank ** 2")
    lines = plain(captured.stdout).splitlines()
    assert lines == [
        f"rank {r} │ line {k} of {r}" for r in range(3) for k in range(2)
    ] + [f"rank {r} │ Out: {r * r}" for r in range(3)]


def test_stderr_displays_and_rich_values(shell):
    captured = run(
        shell, "", "import sys\nprint('bad', file=sys.stderr)\nfrom IPython.display import HTML, display\n"
        "display(HTML(f'<i>{comm.rank}</i>'))\nHTML('<b>value</b>')",
    )
    assert plain(captured.stderr).count("bad") == 3
    bundles = [output.data.get("text/html") for output in captured.outputs if "text/html" in output.data]
    assert sorted(bundles) == ["<b>value</b>"] * 3 + ["<i>0</i>", "<i>1</i>", "<i>2</i>"]


def test_a_semicolon_hides_the_value_and_magics_work(shell):
    assert run(shell, "", "comm.rank;").stdout == ""
    assert "rank 1 │ " in plain(run(shell, "", "%time x = 1").stdout)


def test_changing_n_restarts_and_says_so(shell):
    run(shell, "-n 3", "kept = 1")
    captured = run(shell, "-n 2", "'kept' in globals()")
    assert "Restarting with 2 instead of 3 ranks: the variables of the ranks are lost." in captured.stdout
    assert plain(captured.stdout).count("Out: False") == 2
    assert plain(run(shell, "", "comm.size").stdout).count("Out: 2") == 2  # -n stays


def test_deadlock_is_an_exception_with_a_picture(shell):
    with capture_output() as captured, pytest.raises(DeadlockError) as caught:
        shell.run_cell_magic("mpi", "-n 2", "comm.recv(source=1 - comm.rank)")
    assert caught.value.graph.cycle == (0, 1)
    pictures = [o.data["application/vnd.plotly.v1+json"] for o in captured.outputs if "application/vnd.plotly.v1+json" in o.data]
    assert len(pictures) == 1
    assert "0 → 1 → 0" in pictures[0]["layout"]["title"]["text"]
    assert caught.value._render_traceback_()[0].endswith(str(caught.value))


def test_trace_gives_a_timeline_and_a_picture(shell, tmp_path):
    captured = run(
        shell, "-n 3 --trace",
        "data = np.zeros(100)\nif comm.rank == 0:\n    comm.Send(data, 1, tag=9)\nelif comm.rank == 1:\n"
        "    comm.Recv(data, 0, 9)\ncomm.Barrier()\nr = comm.irecv(source=(comm.rank + 1) % 3)\n"
        "comm.send('hi', (comm.rank - 1) % 3)\nr.wait();",
    )
    timeline = shell.user_ns["_timeline"]
    assert isinstance(timeline, Timeline) and timeline.num_ranks == 3
    large = [m for m in timeline.messages if m.tag == 9]
    assert [(m.source, m.dest, m.num_bytes, m.line) for m in large] == [(0, 1, 800, 4)]
    assert sorted((m.source, m.dest) for m in timeline.messages if m.tag == 0) == [(0, 2), (1, 0), (2, 1)]
    names = [[s.name for s in timeline.spans if s.rank == r] for r in range(3)]
    assert names == [["Send", "Barrier", "irecv", "send", "wait"], ["Recv", "Barrier", "irecv", "send", "wait"],
                     ["Barrier", "irecv", "send", "wait"]]
    assert timeline.num_unmatched == 0
    for message in timeline.messages:
        assert message.send_start_ns <= message.recv_end_ns
    pictures = [o for o in captured.outputs if "application/vnd.plotly.v1+json" in o.data]
    assert len(pictures) == 1
    timeline.save(tmp_path / "run.json")
    assert Timeline.load(tmp_path / "run.json") == timeline


def test_push_and_pull(shell):
    shell.user_ns["data"] = np.arange(1000)
    shell.user_ns["word"] = "hello"
    run(shell, "-n 3", "pass")
    shell.run_line_magic("mpi_push", "data word")
    run(shell, "", "total = data.sum() + comm.rank\nwords = word * comm.rank")
    shell.run_line_magic("mpi_pull", "total, words")
    assert shell.user_ns["total"] == [499500, 499501, 499502]
    assert shell.user_ns["words"] == ["", "hello", "hellohello"]
    shell.run_line_magic("mpi_pull", "total --ranks 2")
    assert shell.user_ns["total"] == 499502
    shell.run_line_magic("mpi_push", "word --ranks 1")


def test_large_arrays_arrive_by_broadcast_as_they_are(shell, monkeypatch):
    arrays = [np.arange(400_000, dtype=np.float64).reshape(2, -1).T, np.arange(300_000, dtype=np.int32)[::-3]]
    shell.user_ns["arrays"], (shell.user_ns["columns"], shell.user_ns["steps"]) = arrays, arrays
    shell.user_ns["text"] = b"ab" * 700_000
    run(shell, "-n 3", "pass")
    shell.run_line_magic("mpi_push", "columns steps text")
    run(shell, "", "columns[0, 0] += comm.rank\nseen = columns.copy(), steps.copy(), len(text), text[-3:]")
    shell.run_line_magic("mpi_pull", "seen")
    for rank, (columns, steps, length, end) in enumerate(shell.user_ns["seen"]):
        expected = arrays[0].copy()
        expected[0, 0] += rank
        assert np.array_equal(columns, expected) and columns.dtype == np.float64
        assert np.array_equal(steps, arrays[1]) and steps.dtype == np.int32
        assert (length, end) == (1_400_000, b"bab")
    monkeypatch.setattr("labkit.cluster.transfer._send_on", None)  # what is small or no array goes another way
    shell.user_ns["shapes"] = [np.zeros(300_000), "a list"]
    shell.run_line_magic("mpi_push", "shapes")
    shell.run_line_magic("mpi_push", "columns --ranks 2")


def test_how_values_travel():
    assert size_of([np.zeros(3), b"abc", "ab"]) == 29
    assert size_of([np.zeros(3), [1]]) == size_of([np.array([None])]) == size_of([np.zeros(2).view(Odd)]) == 0


class Odd(np.ndarray):
    """An array of a class that the ranks need not know."""


@pytest.mark.parametrize(
    ("magic", "line", "words"),
    [
        ("mpi_push", "absent", "no variable 'absent'"),
        ("mpi_push", "", "at least one variable"),
        ("mpi_push", "lock", "cannot travel to another process"),
        ("mpi_pull", "absent", "rank 0 has no variable 'absent'"),
        ("mpi_pull", "comm2", "rank 0 cannot send comm2"),
        ("mpi_stop", "now", "takes no options"),
    ],
)
def test_wrong_push_and_pull(shell, magic, line, words):
    import threading

    shell.user_ns["lock"] = threading.Lock()
    run(shell, "-n 3", "import threading\ncomm2 = threading.Lock()")
    with pytest.raises(UsageError, match=words):
        shell.run_line_magic(magic, line)


@pytest.mark.parametrize(
    ("line", "text"),
    [("--what", "pass"), ("-n 0", "pass"), ("-n 100000", "pass"), ("--ranks 9", "pass"), ("", "for i in range(3"), ("", "  \n"),
     ("", "x = = 2"), ("-n x", "pass")],
)
def test_bad_input_leaves_the_engines_alone(shell, line, text):
    run(shell, "-n 3", "kept = comm.rank")
    engines = shell.find_cell_magic("mpi").__self__.engines
    before = [rank.pid for rank in engines.ranks]
    with pytest.raises(UsageError) as caught:
        shell.run_cell_magic("mpi", line, text)
    assert "\n" not in str(caught.value).strip()
    assert [rank.pid for rank in engines.ranks] == before
    assert plain(run(shell, "", "kept").stdout).count("Out: ") == 3


def test_a_wrong_n_does_not_start_or_end_anything(shell):
    engines = shell.find_cell_magic("mpi").__self__.engines
    run(shell, "-n 3", "pass")
    with pytest.raises(RankFailedError):
        run(shell, "", "1 / 0")
    assert engines.num_ranks == 3


def test_unfinished_requests_are_told(shell):
    captured = run(shell, "-n 2", "r = comm.Irecv(np.zeros(1), source=1 - comm.rank, tag=3)")
    assert "rank 0 │ never completed: Irecv(source=1, tag=3), line 2" in plain(captured.stderr)


def test_carriage_returns_keep_what_would_be_visible(shell):
    captured = run(shell, "-n 2", "print('10 %\\r20 %\\rdone')")
    assert plain(captured.stdout) == "rank 0 │ done\nrank 1 │ done\n"
