"""The panel of clusters, with a batch system and clusters that are made up."""

import os
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from labkit.cluster import manage, registry
from labkit.cluster.engines import LocalEngines, Rank
from labkit.cluster.registry import ClusterRecord
from labkit.cluster.schedulers.scheduler import JobState, QueuePosition
from labkit.errors import EnginesError
from labkit.widgets import cluster_panel, cluster_rows
from labkit.widgets.cluster_panel import NO_CLUSTERS, ClusterPanel
from labkit.widgets.pulse import Ticker

PATIENCE_S = 20.0


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


class FakeScheduler:
    """A batch system that says what it is told to."""

    title = "Slurm"
    submit_command = ("no-such-command", "--parsable")

    def __init__(self):
        self.states: dict[str, JobState] = {}
        self.cancelled: list[str] = []
        self.error: Exception | None = None
        self.num_asked = 0

    def state(self, job_id):
        self.num_asked += 1
        if self.error is not None:
            raise self.error
        return self.states[job_id]

    def position(self, job_id):
        return QueuePosition(2, 5, "debug")

    def cancel(self, job_id):
        self.cancelled.append(job_id)
        self.states[job_id] = JobState("ended", "it was cancelled")


class FakeEngines:
    """Engines of a cluster, without processes."""

    _client = None

    def __init__(self, name, kept=False, ranks=()):
        self.name, self.kept, self.ranks = name, kept, list(ranks)
        self.where = f"Slurm cluster {name!r}"
        self.ended = []

    @property
    def num_ranks(self):
        return len(self.ranks)

    def stop(self):
        self.ended.append("stop")
        self.ranks = []
        for record in registry.records():
            if record.name == self.name:
                registry.remove(record.name, record.folder)

    def leave(self):
        self.ended.append("leave")
        self.ranks = []


class FakeMPI:
    """What the panel uses of ``MPIMagics``."""

    def __init__(self):
        self.engines = LocalEngines()

    def use(self, engines):
        self.engines = engines


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fake = FakeScheduler()
    monkeypatch.setattr(manage, "find_scheduler", lambda kind: fake)
    for module in ("cluster_rows", "cluster_form", "cluster_actions"):
        monkeypatch.setattr(f"labkit.widgets.{module}.find_scheduler", lambda kind: fake)
    monkeypatch.setattr(manage, "dry_run", lambda options: f"#!/bin/bash\n#SBATCH --ntasks={options.num_ranks}\n")
    return fake


@pytest.fixture
def panel(scheduler):
    """``panel()``: a panel of a notebook; closed at the end."""
    made = []

    def make():
        made.append(ClusterPanel(SimpleNamespace(mpi=FakeMPI(), shell=SimpleNamespace())))
        made[-1].refresh()
        return made[-1]

    yield make
    for one in made:
        one.close()
        one.actions.cancel()
        assert one.actions.wait(PATIENCE_S)


def record_of(tmp_path, name, job_id="7", kept=True, alive=True, **more):
    """A cluster whose controller is this process (or is gone)."""
    folder = tmp_path / f"folder-{name}"
    folder.mkdir(exist_ok=True)
    record = ClusterRecord(
        name=name, kind="slurm", folder=str(folder), options={}, num_ranks=8, job_id=job_id,
        controller_pid=os.getpid(), controller_created=psutil.Process().create_time() if alive else 1.0,
        owner_pid=None if kept else 4711, started=time.time(), **more,
    )
    registry.save(record)
    return record


def shown(panel):
    return [widget.description for widget in panel.buttons.children if hasattr(widget, "description")]


def ranks_of(*hosts):
    return [Rank(number, number, 100 + number, 1, host, 0.0, "") for number, host in enumerate(hosts)]


# -- what is seen ---------------------------------------------------------------------------------


def test_without_clusters_it_says_what_to_do(panel):
    one = panel()
    assert one.rows == () and NO_CLUSTERS in one.details.value
    assert one.buttons.children == () and one.map.children == ()


def test_states_are_told_in_words(tmp_path, scheduler, panel):
    record_of(tmp_path, "waits", "1")
    record_of(tmp_path, "runs", "2", kept=False)
    record_of(tmp_path, "gone", "3", alive=False)
    scheduler.states = {
        "1": JobState("queued", "it waits for free nodes.", "PENDING (Resources)"),
        "2": JobState("running", "", "RUNNING", ("n1", "n2")),
        "3": JobState("running", "", "RUNNING", ("n3",)),
    }
    one = panel()
    rows = {row.key: row for row in one.rows}
    assert [rows[name].word for name in ("waits", "runs", "gone")] == ["queued", "running", "lost"]
    assert "slurm job 1 is queued, position 2 of 5: it waits for free nodes." in rows["waits"].sentence
    assert "Nodes: n1, n2." in rows["runs"].sentence
    assert "It ends with its notebook (process 4711)." in rows["runs"].sentence
    assert "Its controller is gone" in rows["gone"].sentence
    assert [rows[name].can_connect for name in ("waits", "runs", "gone")] == [True, False, False]

    one.list.value = "runs"
    assert [node.name for node in one.map.nodes] == ["n1", "n2"] and one.map.children == (one.map.figure,)
    assert "2 nodes" in one.map.figure.layout.title.text
    one.list.value = "waits"
    assert one.map.children == ()  # it has no nodes yet
    one.refresh()
    assert one.list.value == "waits"  # looking again changes nothing of what is selected


def test_last_lines_are_text(tmp_path, scheduler, panel):
    record = record_of(tmp_path, "runs")
    scheduler.states["7"] = JobState("running")
    (tmp_path / "folder-runs" / "job.log").write_text("".join(f"line {n} <b>\n" for n in range(50)))
    one = panel()
    assert "line 49 &lt;b&gt;" in one.lines.value and "line 37 " not in one.lines.value
    assert "38 lines before" in one.lines.value
    assert record.name in one.text()


def test_own_ranks_and_their_states(monkeypatch, panel):
    one = panel()
    engines = LocalEngines()
    engines.ranks = ranks_of("this", "this", "this")
    waiting = SimpleNamespace(text="waits in Recv(source=2), line 3")
    engines._client = SimpleNamespace(
        _engines={0: "a", 1: "b"}, outstanding={"m0", "m1"}, _outstanding_dict={"a": {"m0"}, "b": {"m1", "old"}},
        metadata={"m0": {"data": {}}, "m1": {"data": {"wait": waiting}}},
    )
    one.mpi.engines = engines
    one.refresh()
    assert [row.key for row in one.rows] == [cluster_rows.HERE] and one.rows[0].is_own
    states = {rank.rank: (rank.state, rank.text) for rank in one.map.nodes[0].ranks}
    assert states == {
        0: ("computing", "computes"), 1: ("waiting", waiting.text), 2: ("died", "does not answer any more"),
    }
    assert [list(trace.text) for trace in one.map.figure.data[:4]] == [[], ["0"], ["1"], ["2"]]
    # The cell ends: a tick sees it, and asks no batch system.
    engines._client.outstanding.clear()
    monkeypatch.setattr(cluster_panel, "find_rows", lambda engines: pytest.fail("asked again"))
    monkeypatch.setattr(one._cpus, "of", lambda engines: {"this": 6})
    one._tick(False)
    assert {rank.state for rank in one.map.nodes[0].ranks} == {"idle", "died"}
    assert "6 CPUs for 3 ranks" in one.map.figure.data[0].hovertext[0]


def test_a_batch_system_that_fails_is_a_sentence(tmp_path, scheduler, panel, monkeypatch):
    record_of(tmp_path, "runs")
    scheduler.error = EnginesError("Slurm did not answer squeue within 30 s.")
    one = panel()
    assert one.rows[0].word == "unknown" and "is unknown to slurm at present" in one.rows[0].sentence
    before = one.rows
    monkeypatch.setattr(manage, "statuses", lambda: 1 / 0)
    one.refresh()
    assert one.rows == before
    assert "This did not work (ZeroDivisionError)" in one.seen_at.value and "Traceback" not in one.seen_at.value


def test_profiles_are_offered_and_a_file_with_a_mistake_is_a_sentence(tmp_path, scheduler, panel):
    file = tmp_path / "config" / "labkit" / "clusters.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[profiles.site]\nkind = "slurm"\nnum_ranks = 12\npartition = "debug"\n')
    one = panel()
    assert one.form.where.value == "site" and one.form.words() == ["site"]
    one.form.start_button.click()
    assert "--ntasks=12" in one.form.script.value
    file.write_text("[profiles.site\n")
    other = panel()
    assert "is not valid TOML" in other.message.value and other.form.where.value == "local"


# -- what is done ---------------------------------------------------------------------------------


def test_a_job_script_is_shown_before_it_is_submitted(scheduler, panel, monkeypatch):
    started = []
    engines = FakeEngines("slurm", ranks=ranks_of("n1", "n2"))

    def start(options, progress):
        started.append(options)
        progress("job 9 is queued; position 3")
        return engines

    monkeypatch.setattr(manage, "start", start)
    one = panel()
    form = one.form
    form.where.value, form.num_ranks.value, form.num_nodes.value, form.time.value = "slurm", "6", "2", "30"
    form.keep.value = True
    form.start_button.click()
    assert started == [] and "#SBATCH" in form.script.value and form.submit_button in form.children[-1].children
    form.num_ranks.value = "7"  # the script shown is another's now
    assert form.script.value == ""
    form.submit_button.click()
    assert started == []
    form.start_button.click()
    assert "--ntasks=7" in form.script.value
    form.submit_button.click()
    assert one.actions.wait(PATIENCE_S)
    (options,) = started
    assert (options.kind, options.num_ranks, options.num_nodes) == ("slurm", 7, 2)
    assert (options.time, options.keep) == ("00:30:00", True)
    assert one.mpi.engines is engines
    assert "2 ranks on Slurm cluster &#x27;slurm&#x27;: the next %%mpi cells run there." in one.message.value


def test_a_second_cluster_of_a_kind_gets_a_name_of_its_own(tmp_path, scheduler, panel, monkeypatch):
    record_of(tmp_path, "slurm")
    scheduler.states["7"] = JobState("running")
    names = []
    start = lambda options, progress: names.append(options.name) or FakeEngines(options.name)  # noqa: E731
    monkeypatch.setattr(manage, "start", start)
    one = panel()
    one.form.where.value = "slurm"
    one.form.look()
    one.form.submit()
    assert one.actions.wait(PATIENCE_S) and names == ["slurm-2"]


def test_what_goes_wrong_is_a_sentence(scheduler, panel, monkeypatch):
    def refuse(options, progress):
        raise EnginesError("Slurm refused: invalid account. Ask for one: --account NAME.")

    one = panel()
    one.form.where.value, one.form.num_ranks.value = "slurm", "0"
    one.form.start_button.click()
    assert "at least 1" in one.message.value and one.form.script.value == ""
    one.form.num_ranks.value, one.form.more.value = "2", "'unfinished"
    one.form.start_button.click()
    assert "No closing quotation" in one.message.value
    one.form.more.value = ""
    monkeypatch.setattr(manage, "start", refuse)
    one.form.look()
    one.form.submit()
    assert one.actions.wait(PATIENCE_S)
    assert "Slurm refused: invalid account." in one.message.value and "Traceback" not in one.message.value
    assert not one.form.start_button.disabled and isinstance(one.mpi.engines, LocalEngines)


def test_progress_is_shown_and_a_start_can_be_cancelled(tmp_path, scheduler, panel, monkeypatch):
    goes_on = threading.Event()

    def start(options, progress):
        record_of(tmp_path, options.name, "9", kept=False)
        number = 0
        while True:
            number += 1
            progress(f"job 9 is queued; position {number}")
            goes_on.set()
            time.sleep(0.01)

    monkeypatch.setattr(manage, "start", start)
    scheduler.states["9"] = JobState("queued")
    one = panel()
    one.form.where.value = "slurm"
    one.form.look()
    one.form.submit()  # comes back at once
    assert goes_on.wait(PATIENCE_S)
    assert "job 9 is queued; position" in one.message.value
    assert shown(one) == ["Cancel"] and one.form.start_button.disabled
    one.form.look()
    one.form.submit()
    assert "Something else goes on (start)" in one.message.value or "job 9" in one.message.value
    one.cancel_button.click()
    assert one.actions.wait(PATIENCE_S)
    assert "Cancelled: start." in one.message.value
    wait_until(lambda: scheduler.cancelled == ["9"])
    assert isinstance(one.mpi.engines, LocalEngines)


def test_stop_asks_first(tmp_path, scheduler, panel):
    record_of(tmp_path, "runs", alive=False)  # no process of ours is to be ended
    scheduler.states["7"] = JobState("running", nodes=("n1",))
    one = panel()
    assert shown(one) == ["Connect", "Stop …"]
    one.stop_button.click()
    assert "Stop cluster runs?" in one.question.value and "Job 7 is cancelled." in one.question.value
    assert scheduler.cancelled == []
    one.no_button.click()
    assert shown(one) == ["Connect", "Stop …"]
    one.yes_button.click()  # of a question that is not asked any more
    assert one.actions.wait(PATIENCE_S) and scheduler.cancelled == []
    one.stop_button.click()
    one.yes_button.click()
    assert one.actions.wait(PATIENCE_S)
    assert scheduler.cancelled == ["7"] and "has been stopped" in one.message.value
    one.refresh()
    assert one.rows == () and not (tmp_path / "folder-runs").exists()


def test_own_cluster_is_stopped_through_its_engines_and_not_while_a_cell_runs(tmp_path, scheduler, panel, monkeypatch):
    one = panel()
    engines = one.mpi.engines = FakeEngines("runs", ranks=ranks_of("n1"))
    record_of(tmp_path, "runs", kept=False)
    scheduler.states["7"] = JobState("running", nodes=("n1",))
    one.refresh()
    assert one.rows[0].is_own and one.connect_button.disabled
    monkeypatch.setattr("labkit.widgets.cluster_actions.is_busy", lambda engines: True)
    one.stop_button.click()
    one.yes_button.click()
    assert one.actions.wait(PATIENCE_S)
    assert "A cell runs on these ranks." in one.message.value and engines.ended == []
    monkeypatch.setattr("labkit.widgets.cluster_actions.is_busy", lambda engines: False)
    one.stop_button.click()
    one.yes_button.click()
    assert one.actions.wait(PATIENCE_S)
    assert engines.ended == ["stop"] and isinstance(one.mpi.engines, LocalEngines)
    assert "have been ended" in one.message.value


def test_connect_leaves_a_kept_cluster_and_ends_another(tmp_path, scheduler, panel, monkeypatch):
    record_of(tmp_path, "kept", "7")
    scheduler.states["7"] = JobState("running", nodes=("n1",))
    ranks = ranks_of("n1", "n1")
    monkeypatch.setattr(manage, "connect", lambda name, progress: FakeEngines(name, kept=True, ranks=ranks))
    for name, kept, how in (("a", True, "leave"), ("b", False, "stop")):
        one = panel()
        before = one.mpi.engines = FakeEngines(name, kept=kept, ranks=ranks_of("n9"))
        assert one.list.value == "kept"
        one.connect_button.click()
        assert one.actions.wait(PATIENCE_S)
        assert before.ended == [how] and one.mpi.engines.name == "kept"
        assert "2 ranks on Slurm cluster" in one.message.value


def test_connecting_to_what_has_ended_keeps_the_present_ranks(tmp_path, scheduler, panel):
    record_of(tmp_path, "kept", "7")
    scheduler.states["7"] = JobState("running")
    one = panel()
    before = one.mpi.engines = FakeEngines("a", ranks=ranks_of("n9"))
    registry.remove("kept", registry.load("kept").folder)  # another shell has stopped it meanwhile
    one.connect_button.click()
    assert one.actions.wait(PATIENCE_S)
    assert "There is no cluster &#x27;kept&#x27;" in one.message.value
    assert one.mpi.engines is before and before.ended == []


def test_engines_change_in_the_thread_of_the_kernel(scheduler, panel, monkeypatch):
    from tornado.ioloop import IOLoop

    calls, loops, started = [], [], threading.Event()

    def kernel():
        loop = IOLoop(make_current=False)
        loops.append(loop)
        loop.add_callback(started.set)
        loop.start()

    thread = threading.Thread(target=kernel, daemon=True)
    thread.start()
    assert started.wait(PATIENCE_S)
    one = panel()
    one.actions.shell = SimpleNamespace(kernel=SimpleNamespace(io_loop=loops[0]))
    monkeypatch.setattr(one.mpi, "use", lambda engines: calls.append(threading.current_thread()))
    monkeypatch.setattr(manage, "start", lambda options, progress: FakeEngines("slurm", ranks=ranks_of("n1")))
    one.form.where.value = "slurm"
    one.form.look()
    one.form.submit()
    assert one.actions.wait(PATIENCE_S)
    assert calls == [thread, thread]  # the present ones away, the new ones there
    cell_ends = threading.Event()
    loops[0].add_callback(cell_ends.wait)  # a cell runs: the engines stay as they are
    one.form.look()
    one.form.submit()
    wait_until(lambda: "Waiting until the cell that runs has ended." in one.message.value)
    assert len(calls) == 2
    one.cancel_button.click()
    assert one.actions.wait(PATIENCE_S)
    cell_ends.set()
    loops[0].add_callback(loops[0].stop)
    thread.join(PATIENCE_S)
    assert len(calls) == 2  # nor afterwards: it was given up


# -- looking again and again ----------------------------------------------------------------------


def test_it_looks_while_a_page_shows_it_and_ends_with_it(tmp_path, scheduler, panel):
    one = panel()
    assert not one.ticker.runs
    record_of(tmp_path, "comes")
    scheduler.states["7"] = JobState("running")
    one.refresh_button.click()
    wait_until(lambda: [row.key for row in one.rows] == ["comes"])
    assert one.ticker.runs and any(thread.name == "labkit panel" for thread in threading.enumerate())
    one.close()
    assert not one.ticker.runs
    asked = scheduler.num_asked
    one.ticker.beat(now=True)
    assert not one.ticker.runs and scheduler.num_asked == asked


def test_a_ticker_ends_when_nobody_looks_and_begins_again():
    ticks, needed = [], threading.Event()
    needed.set()
    ticker = Ticker(ticks.append, needed.is_set, every_s=0.01, lease_s=0.05)
    ticker.beat()
    wait_until(lambda: len(ticks) > 12)  # longer than the lease: a cell runs, so no beat can come
    assert ticks[0] is True and ticks[1] is False
    needed.clear()
    wait_until(lambda: not ticker.runs)
    seen = len(ticks)
    ticker.beat()
    wait_until(lambda: len(ticks) > seen)
    ticker.close()
    assert not ticker.runs
