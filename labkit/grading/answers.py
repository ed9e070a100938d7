"""The source of an answer: the function, and of the notebook around it what the function needs.

Nothing is run here. A notebook prints, plots, checks and starts magics; none of that is part of an answer. What is:
the last definition of the function, and the last definitions of the global names that it uses, and so on::

    import numpy as np                 <- np is used by share
    import matplotlib.pyplot as plt
    size = 4                           <- size is used by share
    def share(n): ...                  <- share is used by my_answer
    plt.plot(np.arange(size))
    def my_answer(comm, x): ...        <- asked for

The notebook's ``check`` and ``labkit grade`` both take answers from here, so they judge the same text.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from labkit.grading.cells import SubmissionError, cells_of_session, notebook_cells
from labkit.grading.code import STAR, UNREADABLE, Statement, parse, python_text, statements
from labkit.grading.exercise import Exercise

__all__ = ["Answer", "SubmissionError", "attempt", "cells_of_session", "collect", "notebook_cells"]

MAX_STEPS = 200_000
MAX_NAMES = 6
MAX_CELL = 400_000  # characters; a longer cell is not looked into


@dataclass(frozen=True)
class Answer:
    """The source of an answer.

    Attributes
    ----------
    source : str or None
        Line numbers in feedback count its lines. None: there is no answer.
    problem : str
        What was odd or is missing, as a sentence; "" if nothing.
    cells : tuple of int
        The code cells, counted from 1, that the source is from.
    """

    source: str | None
    problem: str = ""
    cells: tuple[int, ...] = ()


def collect(cells: Sequence[str], function: str, *, others: Collection[str] = ()) -> Answer:
    """The answer ``function`` in the code cells of a notebook.

    Parameters
    ----------
    cells : sequence of str
        Their sources, in order, magics included.
    function : str
    others : collection of str
        Functions of other exercises: not named as candidates if ``function`` is missing.

    Returns
    -------
    Answer
        If the cell of the last definition cannot be parsed, its whole text: running it tells the error.

    Examples
    --------
    >>> collect(["import math, sys", "print('hello')", "def area(r):\\n    return math.pi * r * r"], "area").source
    'import math, sys\\n\\ndef area(r):\\n    return math.pi * r * r\\n'
    >>> collect(["def surface(r):\\n    return r"], "area").problem
    'there is no function area; the notebook defines surface.'
    """
    found: list[Statement] = []
    broken: dict[int, str] = {}
    for number, cell in enumerate(cells):
        if len(cell) > MAX_CELL:
            continue
        text = python_text(cell)
        try:
            found += statements(text, number)
        except UNREADABLE:
            broken[number] = text
    definition = re.compile(rf"^(?:async\s+)?def\s+{re.escape(function)}\b", re.MULTILINE)
    broken_answers = [number for number, text in broken.items() if definition.search(text)]
    bindings = [index for index, statement in enumerate(found) if function in statement.binds]
    last = found[bindings[-1]].cell if bindings else -1
    if broken_answers and broken_answers[-1] > last:
        number = broken_answers[-1]
        return Answer(broken[number], f"cell {number + 1} cannot be parsed.", (number + 1,))
    if not bindings:
        return Answer(None, _missing(function, found, others, broken))
    return _assemble(found, function, broken)


def attempt(cells: Sequence[str], exercise: Exercise, *, others: Collection[str] = ()) -> Answer:
    """As :func:`collect` for the function of ``exercise``; without a source if it is as in the starter."""
    answer = collect(cells, exercise.function, others=others)
    if answer.source is not None and _same(answer.source, collect([exercise.starter], exercise.function).source):
        return replace(answer, source=None, problem=f"{exercise.function} is as in the starter.")
    return answer


def _same(one: str, other: str | None) -> bool:
    """Whether two sources have the same syntax tree."""
    try:
        return other is not None and (one == other or ast.dump(parse(one)) == ast.dump(parse(other)))
    except UNREADABLE:
        return False


def _assemble(found: list[Statement], function: str, broken: dict[int, str]) -> Answer:
    """The statements that ``function`` needs, in the order of the notebook."""
    needed = _needed(found, function)
    if needed is None:
        return Answer(None, f"the definitions around {function} refer to each other in too many ways to follow.")
    chosen = [statement for index, statement in enumerate(found) if index in needed]
    chosen.sort(key=lambda statement: not statement.is_future)  # they must come first; the sort is stable
    notes = []
    places = [s.cell + 1 for s in found if function in s.binds and s.is_function]
    if len(places) > 1:
        where = ", ".join(map(str, sorted(set(places))))
        notes.append(f"{function} is defined {len(places)} times (code cells {where}); the last one counts.")
    if broken:
        where = ", ".join(str(number + 1) for number in broken)
        notes.append(f"code cells that cannot be parsed were left out: {where}.")
    source = "\n\n".join(statement.text.strip("\n") for statement in chosen) + "\n"
    return Answer(source, " ".join(notes), tuple(sorted({statement.cell + 1 for statement in chosen})))


def _needed(found: list[Statement], function: str) -> set[int] | None:
    """Indices of the statements that define ``function`` and what it needs; None if that takes too long.

    A name that a statement reads when it runs means the last binding before it; a name that a function reads when
    it is called means the last binding of all, and the last before the statement that may call it.
    """
    places: dict[str, list[int]] = {}
    for index, statement in enumerate(found):
        for name in statement.binds:
            places.setdefault(name, []).append(index)
    end = len(found)
    needs: dict[int, tuple[set[str], set[str]]] = {}
    seen = {(function, end)}
    waiting = list(seen)
    while waiting:
        if len(seen) > MAX_STEPS:
            return None
        name, limit = waiting.pop()
        before = [index for index in places.get(name, ()) if index < limit]
        if before:
            chosen = [before[-1]]
        elif name in places:  # only bound later: with the cells in this order it fails, as in the notebook
            chosen = [places[name][-1]]
        else:
            chosen = [index for index in places.get(STAR, ()) if index < limit]
        for index in chosen:
            if index not in needs:
                needs[index] = found[index].needs()
            now, later = needs[index]
            more = {(other, index) for other in now}
            more |= {(other, at) for other in later for at in {limit, end}}
            waiting += more - seen
            seen |= more
    return {*needs, *(index for index, statement in enumerate(found) if statement.is_future)}


def _missing(function: str, found: list[Statement], others: Collection[str], broken: dict[int, str]) -> str:
    """That there is no such function, and which there are."""
    names = dict.fromkeys(name for statement in found if statement.is_function for name in statement.binds)
    names = [name for name in names if name not in others and not hasattr(builtins, name)]
    near = difflib.get_close_matches(function, names, n=3)
    names = near or names
    text = f"there is no function {function}"
    if names:
        more = ", ..." if len(names) > MAX_NAMES else ""
        text += f"; the notebook defines {', '.join(names[:MAX_NAMES])}{more}"
    if broken:
        text += f"; code cells that cannot be parsed: {', '.join(str(number + 1) for number in broken)}"
    return text + "."
