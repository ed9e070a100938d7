"""The code cells of a notebook: from its file, or from the session that is running.

A file is what a student handed in, so it may be anything: broken, huge, of an old format. Outputs are cut out of
the bytes before the rest is parsed, so that fifty megabytes of them cost neither time nor memory.
"""

from __future__ import annotations

import codecs
import inspect
import json
import re
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from labkit.errors import UsageError

MAX_BYTES = 512 * 2**20  # of a file
MAX_CODE = 4 * 2**20  # characters in all code cells
# A JSON string, whole, or a bracket; possessive, so that a long string is passed over in one step.
TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)


class SubmissionError(UsageError):
    """A file that was handed in cannot be read as a notebook."""


def notebook_cells(path: Path | str) -> list[str]:
    """The sources of the code cells of a notebook, in order; of a Python file, its text as the only cell.

    Parameters
    ----------
    path : Path
        ``.ipynb`` of format 3, 4 or newer, or ``.py``.

    Returns
    -------
    list of str

    Raises
    ------
    SubmissionError
        It cannot be read, is no text, no JSON or no notebook, or is larger than 512 MiB; the message says which.
    """
    path = Path(path)
    text = _text(path)
    if path.suffix == ".py":
        return [text]
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"{path.name} is not a notebook: its JSON is broken ({error}). Save it again in Jupyter.") from None
    cells = _list_of_cells(path, notebook)
    sources = [_source(cell) for cell in cells if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    num_characters = sum(map(len, sources))
    if num_characters > MAX_CODE:
        raise SubmissionError(f"{path.name} has {num_characters} characters of code, and {MAX_CODE} are the most that is read.")
    return sources


def cells_of_session(function: Callable | None = None) -> list[str]:
    """The code that this session has run, as cells: what ``check`` takes an answer from.

    In IPython the cells in the order in which they were run, as typed. Elsewhere, and for a function that was
    imported, the file of ``function``.

    Raises
    ------
    UsageError
        Neither can be had, for example in the plain interactive Python.
    """
    session = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    home = getattr(function, "__module__", "__main__")
    if session is not None and home == "__main__":
        return [str(cell) for cell in session.history_manager.input_hist_raw[1:]]
    try:
        return [inspect.getsource(sys.modules[home])]
    except (KeyError, OSError, TypeError):
        name = getattr(function, "__name__", "the function")
        raise UsageError(f"the source of {name} cannot be found: write it in a notebook, or in a file and import it.") from None


def _text(path: Path) -> str:
    """The text of a file, a notebook's without outputs."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise SubmissionError(f"{path.name} cannot be read: it is no file.")
        if path.stat().st_size > MAX_BYTES:
            raise SubmissionError(f"{path.name} has {path.stat().st_size} bytes, and {MAX_BYTES} are the most that is read.")
        data = path.read_bytes()
    except OSError as error:
        raise SubmissionError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", errors="replace").encode(errors="replace")
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise SubmissionError(f"{path.name} is empty. Save it again in Jupyter.")
    if b"\0" in data:
        raise SubmissionError(f"{path.name} is damaged: it contains zero bytes. Ask for the file again.")
    if path.suffix != ".py":
        data = without_outputs(data)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SubmissionError(f"{path.name} is not UTF-8 text ({error.reason} at byte {error.start}). Save it again in Jupyter.") from None


def without_outputs(data: bytes) -> bytes:
    """JSON text with ``null`` for every value of a key ``"outputs"`` that is an object or a list.

    Broken text is returned as far as it makes sense: parsing it says what is wrong.

    Examples
    --------
    >>> without_outputs(b'{"cells": [{"outputs": [{"text": "]"}], "source": "x"}]}')
    b'{"cells": [{"outputs": null, "source": "x"}]}'
    """
    kept, end, depth = [], 0, 0
    skipping = None  # the depth around the value that is being skipped
    outputs_end = -1  # where a string "outputs" has just ended
    for token in TOKEN.finditer(data):
        first = data[token.start()]
        if first in b"[{":
            if skipping is None and outputs_end >= 0 and data[outputs_end:token.start()].strip() == b":":
                skipping = depth
                kept.append(data[end:token.start()])
            depth += 1
        elif first in b"]}":
            depth -= 1
            if skipping == depth:
                kept.append(b"null")
                skipping, end = None, token.end()
        is_key = first == ord('"') and token.end() - token.start() == 9 and token.group() == b'"outputs"'
        outputs_end = token.end() if is_key else -1
    if skipping is None:
        kept.append(data[end:])
    return b"".join(kept)


def _list_of_cells(path: Path, notebook) -> list:
    """The cells of format 4, or those of the worksheets of format 3."""
    if not isinstance(notebook, dict):
        raise SubmissionError(f"{path.name} is not a notebook: it holds a {type(notebook).__name__} instead of an object with cells.")
    cells = notebook.get("cells")
    if cells is None and isinstance(notebook.get("worksheets"), list):
        sheets = [sheet for sheet in notebook["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or ()]
    if not isinstance(cells, list):
        raise SubmissionError(f"{path.name} is not a notebook: it has no list of cells. Save it again in Jupyter.")
    return cells


def _source(cell: dict) -> str:
    """The text of a code cell; format 3 calls it ``input``."""
    source = cell.get("source", cell.get("input", ""))
    if isinstance(source, list):
        source = "".join(line for line in source if isinstance(line, str))
    return source.encode(errors="replace").decode() if isinstance(source, str) else ""  # JSON can hold half characters
