"""Code cells from files of every kind, and from the running session."""

import importlib.util
import json
import os
import random
import tracemalloc

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.grading.cells import SubmissionError, cells_of_session, notebook_cells, without_outputs

CELLS = {"cells": [{"cell_type": "markdown", "source": "text"}, {"cell_type": "code", "source": ["x = 1\n", "y = 2"]}]}


def written(tmp_path, data, name="x.ipynb"):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("data", [
    json.dumps(CELLS), b"\xef\xbb\xbf" + json.dumps(CELLS).encode(), json.dumps(CELLS).encode("utf-16"),
    json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1\n", "y = 2"]}]}], "nbformat": 3}),
    json.dumps({"cells": [None, 3, {}, {"cell_type": "raw"}, *CELLS["cells"]]}),
], ids=["plain", "BOM", "UTF-16", "format 3", "odd cells"])
def test_readable_files(tmp_path, data):
    assert notebook_cells(written(tmp_path, data)) == ["x = 1\ny = 2"]


@pytest.mark.parametrize("source", [None, 3, {}, [1, 2], []])
def test_missing_or_odd_sources_are_empty(tmp_path, source):
    assert notebook_cells(written(tmp_path, json.dumps({"cells": [{"cell_type": "code", "source": source}]}))) == [""]
    assert notebook_cells(written(tmp_path, json.dumps({"cells": [{"cell_type": "code"}]}))) == [""]


@pytest.mark.parametrize("data, words", [
    (json.dumps(CELLS)[:-20], "JSON is broken"), (b"", "is empty"), (b" \n", "is empty"), (b"\0" * 100, "zero bytes"),
    (json.dumps(CELLS).replace("text", "t\xe4xt").encode("latin-1"), "not UTF-8"),
    (b"[" * 200_000, "JSON is broken"), (b"[1]", "holds a list"), (b'"cells"', "holds a str"), (b"{}", "no list of cells"),
    (b'{"cells": {}}', "no list of cells"), (b"PK\x03\x04rest", "JSON is broken"), (b"<html>", "JSON is broken"),
    (b'{"worksheets": 3}', "no list of cells"),
])
def test_unreadable_files_say_what_they_are(tmp_path, data, words):
    with pytest.raises(SubmissionError, match=words) as caught:
        notebook_cells(written(tmp_path, data))
    assert "x.ipynb" in str(caught.value) and len(str(caught.value)) < 300


def test_files_that_are_none(tmp_path):
    (tmp_path / "folder.ipynb").mkdir()
    os.mkfifo(tmp_path / "pipe.ipynb")
    for name in ("folder.ipynb", "nothing.ipynb", "pipe.ipynb"):
        with pytest.raises(SubmissionError, match="cannot be read"):
            notebook_cells(tmp_path / name)


def test_too_much_code(tmp_path):
    with pytest.raises(SubmissionError, match="characters of code"):
        notebook_cells(written(tmp_path, json.dumps({"cells": [{"cell_type": "code", "source": "x" * 5_000_000}]})))


def test_python_files(tmp_path):
    assert notebook_cells(written(tmp_path, "x = {}\n", "x.py")) == ["x = {}\n"]


@pytest.mark.parametrize("piece", ["€" * 1000, "x\n", '"]}[{\\'], ids=["wide", "short lines", "brackets"])
def test_fifty_megabytes_of_outputs(tmp_path, piece):
    value = piece if len(piece) > 100 else [piece * 50] * 10
    num = 50_000_000 // len(json.dumps(value))
    text = value * num
    cell = {"cell_type": "code", "outputs": [{"output_type": "stream", "text": text}], "source": "x = 1"}
    path = written(tmp_path, json.dumps({"cells": [cell]}))
    del text, cell
    assert path.stat().st_size > 49_000_000
    tracemalloc.start()
    assert notebook_cells(path) == ["x = 1"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * path.stat().st_size  # the file itself and little else


def _random_value(source, depth):
    kind = source.randrange(6) if depth else source.randrange(3)
    if kind == 0:
        return source.choice([None, True, 1.5, -3])
    if kind < 3:
        return "".join(source.choice('ab"\\{}[]:,€\n') for _ in range(source.randrange(8)))
    if kind < 5:
        return [_random_value(source, depth - 1) for _ in range(source.randrange(4))]
    keys = ["outputs", "source", "cells", '"outputs"', "x"]
    return {source.choice(keys): _random_value(source, depth - 1) for _ in range(source.randrange(4))}


def _cut(value):
    """The definition: null for lists and objects under the key "outputs"."""
    if isinstance(value, list):
        return [_cut(element) for element in value]
    if isinstance(value, dict):
        return {k: None if k == "outputs" and isinstance(v, list | dict) else _cut(v) for k, v in value.items()}
    return value


@pytest.mark.parametrize("seed", range(200))
def test_cutting_outputs_is_what_it_says(seed):
    source = random.Random(seed)
    value = _random_value(source, 6)
    text = json.dumps(value, indent=source.choice([None, 1]), ensure_ascii=source.random() < 0.5)
    assert json.loads(without_outputs(text.encode())) == _cut(value)


def test_a_real_notebook(tmp_path):
    code = nbformat.v4.new_code_cell('print("outputs": [1])', outputs=[nbformat.v4.new_output("stream", text="a\nb")])
    path = written(tmp_path, nbformat.writes(nbformat.v4.new_notebook(cells=[code])))
    assert notebook_cells(path) == ['print("outputs": [1])']


def test_the_cells_of_a_session():
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        first = "%time x = 1\ndef f():\n    return x"
        for text in (first, "f()"):
            shell.run_cell(text, store_history=True)
        assert cells_of_session(shell.user_ns["f"]) == [first, "f()"]
    finally:
        InteractiveShell.clear_instance()


def test_the_file_of_an_imported_function(tmp_path, monkeypatch):
    path = written(tmp_path, "k = 2\ndef f():\n    return k\n", "answers_of_mine.py")
    spec = importlib.util.spec_from_file_location("answers_of_mine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(__import__("sys").modules, "answers_of_mine", module)
    assert cells_of_session(module.f) == [path.read_text()]
    with pytest.raises(SubmissionError.__mro__[1], match="cannot be found"):
        cells_of_session(eval("lambda: 1", {"__name__": "no_module"}))
