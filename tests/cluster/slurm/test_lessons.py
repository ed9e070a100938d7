"""Lessons run on the cluster without a browser: the text of their cells does not change."""

import json

import pytest

pytestmark = pytest.mark.timeout(500)
USER = "labkit-a"


@pytest.mark.parametrize("lesson", ["00_start_here", "04_point_to_point", "05_collectives"])
def test_a_lesson_runs_on_two_nodes(slurm, lesson):
    folder = slurm.python.parent.parent / "project" / "notebooks"
    slurm.as_user(USER, "ctl", "sh", "-c", f"cp -r {folder} ~/lessons && chmod -R u+w ~/lessons; true")
    done = slurm.as_user(
        USER, "ctl", "labkit", "run", f"lessons/{lesson}.ipynb", "--cluster", "slurm", "-n", "4", "--nodes", "2", "--time", "20",
        "--out", "executed.ipynb", timeout=400,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    notebook = json.loads(slurm.as_user(USER, "ctl", "cat", "executed.ipynb").stdout)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    assert cells and all(cell["execution_count"] for cell in cells)
    for cell in cells:
        if "raises-exception" not in cell["metadata"].get("tags", []):
            assert not [output for output in cell["outputs"] if output["output_type"] == "error"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    text = json.dumps(outputs)
    assert "started on 2 nodes (n1, n2)" in text
    slurm.wait_until(lambda: not slurm.as_root("ctl", "squeue", "-h").stdout.strip(), 60, "no job is left")
    assert slurm.as_user(USER, "ctl", "sh", "-c", "find ~/.labkit/clusters -mindepth 1").stdout == ""
