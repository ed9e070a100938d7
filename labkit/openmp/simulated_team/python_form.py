"""The Python form of a compiled kernel, in which simulated constructs stand for the compiled ones."""

from __future__ import annotations

import inspect
import sys
from types import CellType, CodeType, FunctionType, ModuleType, SimpleNamespace

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.simulated_team import constructs
from labkit.openmp.simulated_team.arrays import STAND_INS, WatchedNumpy

ROOM = "labkit.openmp."
MODULES = ("sync", "intrinsics", "tasks")


def python_form(function, what: str = "the kernel") -> FunctionType:
    """A function that executes the same program step by step.

    Parameters
    ----------
    function : function, compiled by numba.njit or not
        It is left as it is. So are those that it calls, which are replaced by their Python forms, too.
    what : str
        What it is, for the message.

    Raises
    ------
    UsageError
        It is no function.
    """
    plain = getattr(function, "py_func", function)
    if not inspect.isfunction(plain):
        raise UsageError(
            f"{what} is a function compiled by numba.njit, or a Python function that can be, not {function!r:.80}: "
            "pass such a function."
        )
    return _Forms()(plain)


class _Forms:
    """The forms of all functions that one kernel reaches."""

    def __init__(self):
        self.done: dict[int, FunctionType] = {}
        self.known: dict[int, object] = {id(real): form for real, form in STAND_INS}
        self.kept: list = []  # originals: their ids stay theirs
        for name in MODULES:
            module = sys.modules.get(ROOM + name)  # one that is not loaded is used by no kernel
            for construct in constructs.NAMES if module is not None else ():
                if hasattr(module, construct):
                    self.known[id(getattr(module, construct))] = getattr(constructs, construct)

    def __call__(self, function: FunctionType) -> FunctionType:
        if id(function) in self.done:
            return self.done[id(function)]
        names = dict(function.__globals__)
        closure = tuple(CellType() for _ in function.__closure__ or ())
        form = FunctionType(function.__code__, names, function.__name__, function.__defaults__, closure or None)
        form.__kwdefaults__ = function.__kwdefaults__
        self.done[id(function)] = form
        self.kept.append(function)
        for name in _names_in(function.__code__):
            if name in names:
                names[name] = self._of(names[name], function)
        for cell, own in zip(function.__closure__ or (), closure, strict=True):
            try:
                own.cell_contents = self._of(cell.cell_contents, function)
            except ValueError:  # an empty cell
                continue
        return form

    def _of(self, value, user: FunctionType):
        if id(value) in self.known:
            return self.known[id(value)]
        if value is np:
            return WatchedNumpy()
        if isinstance(value, ModuleType) and value.__name__.startswith(ROOM) and value.__name__[len(ROOM):] in MODULES:
            return constructs
        if isinstance(value, ModuleType) and value.__name__ == ROOM[:-1]:
            return SimpleNamespace(**vars(value) | dict.fromkeys(MODULES, constructs))
        plain = getattr(value, "py_func", None)
        if inspect.isfunction(plain):
            return self(plain)
        if inspect.isfunction(value) and value.__globals__ is user.__globals__:
            return self(value)
        return value


def _names_in(code: CodeType) -> set[str]:
    """All names that a function uses, and the functions in it."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names_in(constant)
    return found
