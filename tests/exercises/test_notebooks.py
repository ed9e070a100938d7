"""The notebooks of the exercises are committed as they are built, without outputs."""

from pathlib import Path

import nbformat
import pytest

from labkit.grading.exercise import exercise_names
from labkit.grading.notebooks import notebook_path, notebook_text, topic_notebook, topics

FOLDER = Path(__file__).parents[2] / "exercises"
TOPICS = topics(FOLDER) if FOLDER.is_dir() else []


@pytest.mark.parametrize("topic", TOPICS)
def test_the_committed_notebook_is_the_built_one(topic):
    committed = notebook_path(topic, FOLDER).read_text(encoding="utf-8")
    assert committed == notebook_text(topic_notebook(topic, FOLDER)), "run labkit exercises build"


@pytest.mark.parametrize("topic", TOPICS)
def test_every_exercise_has_its_three_cells(topic):
    notebook = nbformat.read(notebook_path(topic, FOLDER), 4)
    found = [(c.metadata.labkit.exercise, c.metadata.labkit.role) for c in notebook.cells if "labkit" in c.metadata]
    names = [name for name in exercise_names(FOLDER) if name.startswith(f"{topic}/")]
    assert found == [(name, role) for name in names for role in ("statement", "starter", "check")]
    assert [c.source for c in notebook.cells if c.cell_type == "code"][0] == "from labkit import check"
