"""What the code of a notebook says, without running it: statements, the names they bind and the names they need."""

from __future__ import annotations

import ast
import re
import symtable
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

PYTHON_MAGICS = ("mpi", "openmp", "px", "time", "prun", "capture")  # %%-magics whose body is Python for this course
MAGIC_LINE = re.compile(r"\s*(?:[%!?]|[\w\s,.]+=\s*[%!])|.*\?\s*$")
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
MAX_TRIES = 20
COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")
STAR = "*"


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement at the top level of a cell.

    Attributes
    ----------
    text : str
    cell : int
        Its cell, counted from 0.
    binds : frozenset of str
        Global names that it gives a value; ``"*"`` for ``from ... import *``.
    adds : bool
        Whether the names keep something of their values before.
    is_function : bool
    is_future : bool
        ``from __future__ import ...``
    """

    text: str
    cell: int
    binds: frozenset[str]
    adds: bool = False
    is_function: bool = False
    is_future: bool = False

    def needs(self) -> tuple[set[str], set[str]]:
        """Global names that it reads when it runs (decorators, defaults, right-hand sides, bodies of classes),
        and those that its functions read when they are called."""
        now, later = _needs(self.text)
        return (now | self.binds, later) if self.adds else (now, later)


def python_text(cell: str) -> str:
    """A cell without magics, line by line: what is no Python becomes ``pass`` or an empty line.

    Examples
    --------
    >>> python_text("%matplotlib inline\\nx = 1")
    'pass\\nx = 1'
    >>> python_text("%%mpi -n 4\\nprint(comm.rank)")
    '\\nprint(comm.rank)'
    >>> python_text("%%bash\\nrm -rf build")
    ''
    """
    lines = cell.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        name = lines[first][2:].split()[:1]
        if not name or name[0] not in PYTHON_MAGICS:
            return ""
        lines[first] = ""
    for _ in range(MAX_TRIES):
        try:
            parse("\n".join(lines))
            return "\n".join(lines)
        except SyntaxError as error:
            wrong = (error.lineno or 0) - 1
            if not 0 <= wrong < len(lines) or not MAGIC_LINE.match(lines[wrong]):
                break
            _silence(lines, wrong)
        except UNREADABLE:
            break
    stripped = list(lines)
    for number, line in enumerate(lines):
        if MAGIC_LINE.match(line):
            _silence(stripped, number)
    try:
        parse("\n".join(stripped))
    except UNREADABLE:
        return "\n".join(lines)
    return "\n".join(stripped)


def parse(text: str) -> ast.Module:
    """The syntax tree, without warnings about the text on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def statements(text: str, cell: int) -> list[Statement]:
    """The statements of a cell that bind names; the others have only effects.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        The text cannot be parsed.
    """
    nodes = parse(text).body
    lines = [line.encode() for line in text.split("\n")]
    found = []
    for position, node in enumerate(nodes):
        names = _bound(node)
        if names is None:
            continue
        found.append(Statement(
            _segment(lines, nodes, position), cell, frozenset(names), _adds(node),
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef),
            isinstance(node, ast.ImportFrom) and node.module == "__future__",
        ))
    return found


def _silence(lines: list[str], number: int) -> None:
    """Take a line of IPython's out, with the lines that continue it."""
    continued = lines[number].endswith("\\")
    lines[number] = lines[number][: len(lines[number]) - len(lines[number].lstrip())] + "pass"
    while continued and number + 1 < len(lines):
        number += 1
        continued = lines[number].endswith("\\")
        lines[number] = ""


def _bound(node: ast.stmt) -> set[str] | None:
    """The global names that a statement binds; None if it is no definition."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Import():
            return {alias.asname or alias.name.split(".")[0] for alias in node.names}
        case ast.ImportFrom():
            return {alias.asname or alias.name for alias in node.names}
        case ast.Assign():
            return {name for target in node.targets for name in _targets(target)}
        case ast.AnnAssign() if node.value is not None:
            return set(_targets(node.target))
        case ast.AugAssign():
            return set(_targets(node.target))
        case ast.If():
            return _bound_in_block([*node.body, *node.orelse])
        case ast.Try():
            handlers = [statement for handler in node.handlers for statement in handler.body]
            return _bound_in_block([*node.body, *handlers, *node.orelse, *node.finalbody])
    return {node.name.id} if type(node).__name__ == "TypeAlias" else None  # Python 3.12


def _bound_in_block(body: list[ast.stmt]) -> set[str] | None:
    """What a block of definitions binds; None if there is anything else in it."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.Pass):
            continue
        found = _bound(node)
        if found is None:
            return None
        names |= found
    return names or None


def _targets(target: ast.expr) -> Iterator[str]:
    """Names in the target of an assignment; ``x`` for ``x[0]`` and ``x.field``."""
    match target:
        case ast.Name():
            yield target.id
        case ast.Tuple() | ast.List():
            for element in target.elts:
                yield from _targets(element)
        case ast.Starred() | ast.Attribute() | ast.Subscript():
            yield from _targets(target.value)


def _adds(node: ast.stmt) -> bool:
    """Whether the names that a statement binds keep something of their values before."""
    match node:
        case ast.AugAssign() | ast.If() | ast.Try():
            return True
        case ast.Import():  # import a.b, then import a.c: both are wanted
            return any("." in alias.name and not alias.asname for alias in node.names)
        case ast.Assign():
            whole = [part for target in node.targets for part in ast.walk(target)]
            return any(isinstance(part, ast.Attribute | ast.Subscript) for part in whole)
        case ast.AnnAssign():
            return not isinstance(node.target, ast.Name)
    return False


def _needs(source: str) -> tuple[set[str], set[str]]:
    """Global names that a statement reads when it runs, and when its functions are called."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(source, "cell", "exec")
    except UNREADABLE:  # wrong in a way that shows after parsing: every name it mentions
        names = {node.id for node in ast.walk(parse(source)) if isinstance(node, ast.Name)}
        return names, names
    now = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()}
    later: set[str] = set()
    waiting = [(table, now) for table in top.get_children()]
    while waiting:
        table, names = waiting.pop()
        if table.get_type() == "function" and table.get_name() not in COMPREHENSIONS:
            names = later
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        waiting += [(child, names) for child in table.get_children()]
    return now, later


def _segment(lines: list[bytes], nodes: list[ast.stmt], position: int) -> str:
    """The text of a statement: whole lines, or its part of a line that it shares."""
    node = nodes[position]
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    before, after = nodes[position - 1] if position else None, nodes[position + 1] if position + 1 < len(nodes) else None
    chosen = lines[first - 1:node.end_lineno]
    if after is not None and after.lineno == node.end_lineno:
        chosen[-1] = chosen[-1][:node.end_col_offset]
    if before is not None and before.end_lineno == first:
        chosen[0] = chosen[0][node.col_offset:]
    return b"\n".join(chosen).decode()
