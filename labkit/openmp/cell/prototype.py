"""The functions that a cell defines, and the C types of their parameters, read from the text."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

COMMENT_OR_TEXT = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
HEAD = re.compile(r"([A-Za-z_]\w*)\s*\(")
ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)|\[\[.*?\]\]", re.DOTALL)
NO_FUNCTIONS = {"if", "for", "while", "switch", "return", "sizeof", "else", "do", "__attribute__", "_Pragma"}
QUALIFIERS = {"const", "volatile", "restrict", "__restrict", "__restrict__", "register", "static", "inline", "extern",
              "constexpr", "struct", "__inline", "_Alignas", "noexcept", "__inline__"}  # fmt: skip
CXX_SIGNS = re.compile(
    r"^\s*#\s*include\s*<(?:iostream|vector|algorithm|string|cstdio|cmath|cstdlib|numeric|array|chrono|thread|atomic|"
    r"complex|map|random|functional|memory|utility|iomanip|sstream|cstdint|cstring|limits|tuple|set|mutex|execution)>"
    r"|^\s*using\s+namespace\s+\w+|^\s*template\s*<|\bstd::\w", re.MULTILINE,
)  # fmt: skip

# Words of a C type, in alphabetical order -> the NumPy type of the same bytes
INTEGER_WORDS = {
    ("char",): "byte", ("char", "signed"): "byte", ("char", "unsigned"): "ubyte",
    ("short",): "short", ("short", "unsigned"): "ushort", ("int",): "intc", ("unsigned",): "uintc",
    ("long",): "long", ("long", "unsigned"): "ulong", ("long", "long"): "longlong",
    ("long", "long", "unsigned"): "ulonglong",
}  # fmt: skip
NAMED = {
    "float": "single", "double": "double", "size_t": "uintp", "ssize_t": "intp", "ptrdiff_t": "intp",
    "intptr_t": "intp", "uintptr_t": "uintp", "bool": "bool", "_Bool": "bool", "_Float16": "half",
    **{f"{u}int{n}_t": f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)},
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """A parameter of a C function.

    Attributes
    ----------
    name : str
    base : str
        The type without qualifiers and stars, such as ``unsigned int``.
    pointer, const : bool
        Whether it is a pointer or array, and whether C promises not to write there.
    lengths : tuple of str
        What stands between the brackets of an array, such as ``("n", "m")``.
    declared : str
        The parameter as it is written.
    dtype : numpy.dtype or None
        Of the elements; None if the type is not known here, or ``void``.
    """

    name: str
    base: str
    pointer: bool
    const: bool
    lengths: tuple[str, ...]
    declared: str
    dtype: np.dtype | None
    pointers: int = 0


@dataclass(frozen=True)
class Function:
    """A function that the cell defines: its name, what it returns, its parameters, the line where it begins."""

    name: str
    returns: Parameter
    parameters: tuple[Parameter, ...]
    line: int


def looks_like_cxx(text: str) -> bool:
    """Whether the text is C++ beyond doubt.

    Examples
    --------
    >>> looks_like_cxx("#include <iostream>"), looks_like_cxx("#include <stdio.h>")
    (True, False)
    """
    return CXX_SIGNS.search(blank(text, directives=False)) is not None


def blank(text: str, *, directives: bool = True) -> str:
    """The text with blanks for comments, quoted texts and, if asked, preprocessor lines; lines stay lines."""
    def blanks(match):
        return re.sub(r"[^\n]", " ", match.group())

    text = COMMENT_OR_TEXT.sub(blanks, text)
    return DIRECTIVE.sub(blanks, text) if directives else text


def functions_of(text: str, *, first_line: int = 2) -> dict[str, Function]:
    """The functions that a cell defines outside of all braces (also within ``extern "C" { }``).

    Parameters
    ----------
    text : str
        The cell.
    first_line : int
        The number of its first line; the line of ``%%openmp`` is 1.

    Examples
    --------
    >>> found = functions_of("double run(int n, const double *x) { return x[n]; }")
    >>> [(p.name, p.dtype.name, p.pointer, p.const) for p in found["run"].parameters]
    [('n', 'int32', False, False), ('x', 'float64', True, True)]
    """
    clean = blank(text)
    typedefs = dict(_typedefs(clean))
    clean = re.sub(r"\bextern\s+\{", lambda m: " " * len(m.group()), clean)
    found: dict[str, Function] = {}
    depth, start, position = 0, 0, 0
    while position < len(clean):
        sign = clean[position]
        if sign == "{":
            if depth == 0:
                function = _function(clean[start:position], typedefs)
                if function is not None:
                    lead = len(clean[start:position]) - len(clean[start:position].lstrip())
                    line = first_line + clean.count("\n", 0, start + lead)
                    found.setdefault(function.name, replace(function, line=line))
            depth += 1
        elif sign == "}":
            depth = max(0, depth - 1)
            start = position + 1
        elif sign == ";" and depth == 0:
            start = position + 1
        position += 1
    return found


def _typedefs(clean: str):
    for match in re.finditer(r"\btypedef\s+([\w\s]+?)\s+(\w+)\s*;", clean):
        yield match.group(2), match.group(1)
    for match in re.finditer(r"\busing\s+(\w+)\s*=\s*([\w\s:]+?)\s*;", clean):
        yield match.group(1), match.group(2)


def _function(head: str, typedefs: dict[str, str]) -> Function | None:
    """``double run(int n, double *x)`` as a function; None for anything else before a brace."""
    head = ATTRIBUTE.sub(" ", head)
    match = next((m for m in HEAD.finditer(head) if m.group(1) not in NO_FUNCTIONS), None)
    if match is None or "=" in head[: match.start()] or not head[: match.start()].strip():
        return None
    depth, end = 1, match.end()
    while end < len(head) and depth:
        depth += {"(": 1, ")": -1}.get(head[end], 0)
        end += 1
    inside = head[match.end() : end - 1].strip()
    parts = [] if inside in ("", "void") else _split(inside)
    if "<" in head[: match.start()]:  # a template has no one type
        return None
    returns = _parameter(head[: match.start()] + " value", typedefs)
    return Function(match.group(1), returns, tuple(_parameter(part, typedefs) for part in parts), 0)


def _split(text: str) -> list[str]:
    parts, depth = [""], 0
    for sign in text:
        depth += {"(": 1, "[": 1, "<": 1, ")": -1, "]": -1, ">": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _parameter(text: str, typedefs: dict[str, str]) -> Parameter:
    declared = " ".join(text.split())
    brackets = re.findall(r"\[([^\]]*)\]", text)
    lengths = tuple(" ".join(word for word in length.split() if word not in QUALIFIERS) for length in brackets)
    plain = re.sub(r"\[[^\]]*\]", " ", text)
    pointers = plain.count("*")
    behind_first_star = plain.partition("*")
    words = re.findall(r"std::complex\s*<\s*\w+\s*>|[\w:]+", behind_first_star[0])
    names = [w for w in re.findall(r"\w+", behind_first_star[2]) if w not in QUALIFIERS]
    const = "const" in words
    words = [w for w in words if w not in QUALIFIERS]
    if pointers:
        name = names[-1] if names else ""
    else:
        name = words.pop() if len(words) > 1 else ""
    base = " ".join(words)
    odd = "&" in plain or "(" in plain
    return Parameter(
        name, base, bool(pointers or lengths), const, lengths, declared, None if odd else dtype_of(base, typedefs),
        pointers if not odd else 2,
    )


def dtype_of(base: str, typedefs: dict[str, str] | None = None) -> np.dtype | None:
    """The NumPy type of a C type; None if there is none or it is not known.

    Examples
    --------
    >>> dtype_of("unsigned char"), dtype_of("real", {"real": "float"})
    (dtype('uint8'), dtype('float32'))
    """
    for _ in range(10):
        if not (typedefs and base in typedefs):
            break
        base = " ".join(word for word in typedefs[base].split() if word not in QUALIFIERS)
    base = base.removeprefix("std::")
    complex_type = re.fullmatch(r"complex\s*<\s*(\w+)\s*>", base)
    words = base.split()
    if complex_type or set(words) & {"complex", "_Complex"}:
        part = complex_type.group(1) if complex_type else " ".join(w for w in words if w not in ("complex", "_Complex"))
        return {"double": np.dtype("complex128"), "float": np.dtype("complex64")}.get(part)
    if base in NAMED:
        return np.dtype(NAMED[base])
    if sorted(words) == ["double", "long"]:
        return np.dtype("longdouble")
    if len(words) > 1:  # "unsigned long int" is "unsigned long"
        words = [w for w in words if w not in ("int",)] or ["int"]
        words = [w for w in words if w != "signed" or "char" in words] or ["int"]
    elif words == ["signed"]:
        words = ["int"]
    kind = INTEGER_WORDS.get(tuple(sorted(words)))
    return np.dtype(kind) if kind else None
