"""The panel of clusters in real Lab: ranks on the map while a cell runs, a job script, a question before a stop."""

import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.mpi, pytest.mark.timeout(900)]

# A batch system that is made up, and three clusters of it; the ranks are real.
CLUSTERS = """\
%load_ext labkit
import os, time, psutil
from types import SimpleNamespace
from labkit.cluster import manage, registry
from labkit.cluster.registry import ClusterRecord
from labkit.cluster.schedulers.scheduler import JobState, QueuePosition
from labkit.widgets import cluster_actions, cluster_form, cluster_rows
states = {
    "4711": JobState("queued", "it waits for free nodes: other jobs of higher priority are before it. "
                     "Slurm expects to start it at 2026-11-21 15:00:00."),
    "4712": JobState("running", "", "RUNNING", tuple(f"node-{n:03}.cluster.example.org" for n in range(12))),
    "4713": JobState("running", "", "RUNNING", ("n3",)),
}
fake = SimpleNamespace(
    title="Slurm", submit_command=("sbatch",), state=states.__getitem__, cancel=lambda job: states.pop(job),
    position=lambda job: QueuePosition(3, 17, "debug"),
)
for module in (manage, cluster_actions, cluster_form, cluster_rows):
    module.find_scheduler = lambda kind: fake
def record(name, job, owner, created=psutil.Process().create_time()):
    folder = os.path.abspath(f"folder-{name}"); os.makedirs(folder, exist_ok=True)
    with open(folder + "/job.log", "w") as log:
        log.writelines(f"srun: step {n} of cluster {name}, wider than any panel: {'x' * 160}\\n" for n in range(40))
    registry.save(ClusterRecord(
        name=name, kind="slurm", folder=folder, options={}, num_ranks=48, job_id=job, owner_pid=owner,
        controller_pid=os.getpid(), controller_created=created, started=time.time()))
record("slurm", "4711", 99)
record("a-long-name-of-a-cluster-for-the-course-of-parallel-computing", "4712", None)
record("gone", "4713", None, 1.0)
manage.stop = lambda name: (registry.remove(name, registry.load(name).folder), f"Cluster {name!r} has been stopped.")[1]
"""
CELLS = (
    CLUSTERS,
    "%%mpi -n 6\nprint(comm.rank)",
    "%cluster panel",
    "%%mpi --timeout 200\nimport os, time\nwhile comm.rank < 2 and not os.path.exists('go'):\n    time.sleep(0.02)\n"
    "comm.Barrier()",
)


def texts_cut_off(page):
    """Texts of the panel that are wider than what shows them, but for those with a bar to scroll."""
    return page.page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea .widget-vbox *')].filter(e => e.tagName !== 'PRE'"
        " && !e.closest('svg') && !e.closest('.js-plotly-plot') && !e.closest('select') && e.clientWidth"
        " && e.scrollWidth > e.clientWidth + 1 && e.textContent.trim()).map(e => e.outerHTML.slice(0, 300))"
    )


def wait_until_nothing_is_cut_off(page):
    """A panel that was changed a moment ago may find its place first."""
    deadline = time.monotonic() + 30
    while found := texts_cut_off(page):
        assert time.monotonic() < deadline, found
        page.page.wait_for_timeout(200)


def test_the_panel_lives(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page = lab(Path("panel.ipynb"), nbformat.writes(notebook))
    page.page.get_by_role("menuitem", name="Run", exact=True).click()
    page.page.get_by_text("Run All Cells", exact=True).click()
    panel = page.page.locator(".jp-CodeCell").nth(2)

    # While the cell runs, ranks 0 and 1 compute and the others wait for them.
    panel.locator(".legendtext", has_text="computing").wait_for()
    panel.locator(".legendtext", has_text="waiting").wait_for()
    panel.locator(".gtitle", has_text="6 ranks on 1 node").wait_for()
    panel.scroll_into_view_if_needed()
    panel.screenshot(path=str(tmp_path / "panel_busy.png"))
    (tmp_path / "go").touch()
    panel.locator(".legendtext", has_text="computing").wait_for(state="hidden")
    panel.locator(".legendtext", has_text="idle").wait_for()

    # Another cluster: why it waits; one that runs: nodes and last lines.
    select = panel.locator("select").first
    expect(select.locator("option")).to_have_count(4)
    labels = select.locator("option").all_text_contents()
    select.select_option(label=next(text for text in labels if "queued" in text))
    panel.get_by_text("position 3 of 17: it waits for free nodes").wait_for()
    select.select_option(label=next(text for text in labels if "a-long-name" in text))
    panel.locator(".gtitle", has_text="12 nodes").wait_for()
    panel.locator("pre", has_text="step 39 of cluster a-long-name").wait_for()
    panel.screenshot(path=str(tmp_path / "panel_nodes.png"))
    wait_until_nothing_is_cut_off(page)

    # A stop asks first.
    panel.get_by_role("button", name="Stop …").click()
    panel.get_by_text("Job 4712 is cancelled.").wait_for()
    panel.screenshot(path=str(tmp_path / "panel_stop.png"))
    panel.get_by_role("button", name="Yes, stop it").click()
    panel.get_by_text("has been stopped.").wait_for()
    page.page.wait_for_function(
        "() => ![...document.querySelectorAll('select option')].some(o => o.textContent.includes('a-long-name'))",
    )

    panel.locator(".gtitle", has_text="6 ranks on 1 node").wait_for()

    # The job script is shown before it is submitted; a mistake is a sentence.
    panel.get_by_label("Ranks").fill("8")
    panel.get_by_label("Where").select_option("slurm")
    panel.get_by_role("button", name="Start …").click()
    panel.locator("pre", has_text="#SBATCH --ntasks=8").wait_for()
    panel.get_by_role("button", name="Submit this job").scroll_into_view_if_needed()
    panel.screenshot(path=str(tmp_path / "panel_script.png"))
    wait_until_nothing_is_cut_off(page)
    panel.get_by_label("Ranks").fill("0")
    panel.get_by_label("Ranks").press("Tab")
    panel.get_by_role("button", name="Start …").click()
    panel.get_by_text("at least 1").wait_for()

    # Ranks of this machine, started in place of those that run.
    panel.get_by_label("Ranks").fill("3")
    panel.get_by_label("Where").select_option("local")
    panel.get_by_role("button", name="Start …").click()
    panel.get_by_text("3 ranks on this machine: the next %%mpi cells run there.").wait_for()
    panel.locator(".gtitle", has_text="3 ranks on 1 node").wait_for()
    panel.screenshot(path=str(tmp_path / "panel_local.png"))
    assert page.foreign_requests == []
    assert page.errors == [], "\n".join(page.errors)
