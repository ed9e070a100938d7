"""Executing the text of a cell on one rank, and telling how it ended as a dict of plain values."""

from __future__ import annotations

import ast
import linecache
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.cluster.output import limit_bundle

MACHINERY = str(Path(__file__).parent.parent)  # frames of labkit are not the student's


@dataclass(frozen=True)
class Program:
    """A cell, compiled: its statements, its last expression, and whether that is shown."""

    filename: str
    statements: types.CodeType | None
    expression: types.CodeType | None
    is_shown: bool
    error: SyntaxError | None = None


def compile_cell(shell, source: str, filename: str) -> Program:
    """Compile a cell, magics included; what is wrong with its text is raised by :func:`execute`."""
    # The first line of a cell in the notebook is the %%mpi line.
    text = "\n" + shell.transform_cell(source)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    last = None
    try:
        tree = ast.parse(text, filename)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = compile(ast.Expression(tree.body.pop().value), filename, "eval")
        statements = compile(tree, filename, "exec")
    except SyntaxError as error:
        return Program(filename, None, None, False, error)
    return Program(filename, statements, last, not source.rstrip().endswith(";"))


def execute(
    shell, program: Program, namespace: dict, passing: tuple[type[BaseException], ...] = (),
    after: Callable[[], None] = lambda: None,
) -> dict:
    """Execute a cell in a namespace: a dict with ``status`` and what belongs to it.

    ``status`` is ``"ok"`` (with ``result``, a display bundle, if there is one), ``"exit"``,
    ``"interrupted"`` or ``"error"``. Exceptions of the types in ``passing`` go through. ``after`` is called
    when the student's code has ended, before the end is put into words.
    """
    filename = program.filename
    try:
        try:
            value = _value(program, namespace)
            if value is None or not program.is_shown:
                return {"status": "ok"}
            namespace["_"] = value
            return {"status": "ok", "result": limit_bundle(*shell.display_formatter.format(value))}
        finally:
            after()
    except passing:
        raise
    except SystemExit as exit:
        line = _last_line(exit.__traceback__, filename)
        if exit.code in (None, 0):
            return {"status": "exit", "line": line, "text": "sys.exit()"}
        return _error(shell, exit, filename)
    except KeyboardInterrupt as interrupt:
        return {"status": "interrupted", "line": _last_line(interrupt.__traceback__, filename)}
    except BaseException as error:
        return _error(shell, error, filename)


def _value(program: Program, namespace: dict):
    """Of the last expression of a cell, once all of it has been executed; None if there is none."""
    if program.error is not None:
        raise program.error
    exec(program.statements, namespace)
    return None if program.expression is None else eval(program.expression, namespace)


def _error(shell, error: BaseException, filename: str) -> dict:
    """The error as text, without the frames of labkit around and below the student's."""
    trimmed = _trim(error.__traceback__)
    error = error.with_traceback(trimmed)
    try:
        lines = shell.InteractiveTB.structured_traceback(type(error), error, trimmed)
    except Exception:  # an exception whose own __str__ or __repr__ fails
        lines = [f"{type(error).__name__} (its message could not be made)"]
    try:
        message = str(error)
    except Exception:
        message = ""
    return {
        "status": "error",
        "name": type(error).__name__,
        "message": message[:2000],
        "traceback": "\n".join(lines)[-50_000:],
        "line": _last_line(trimmed, filename),
    }


def _trim(traceback):
    """The traceback without frames of labkit, unless nothing else would be left."""
    entries = []
    while traceback is not None:
        entries.append(traceback)
        traceback = traceback.tb_next
    kept = [e for e in entries if not e.tb_frame.f_code.co_filename.startswith(MACHINERY)]
    trimmed = None
    for entry in reversed(kept):
        trimmed = types.TracebackType(trimmed, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return trimmed


def _last_line(traceback, filename: str) -> int | None:
    """The innermost line of the cell in a traceback."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
