"""What a compiler says about a cell: short, errors first, each with the line of the cell it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MOST_SHOWN = 5
MOST_RAW_LINES = 8
UNFINISHED = "the cell ends before its last function does: is a brace missing?"
HEADER = re.compile(
    r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):(?:(?P<column>\d+):)? (?P<kind>fatal error|error|warning): (?P<text>.*)$"
)
CONTEXT = re.compile(r"^(?:.*/)?cell\.(?:c|cpp):(\d+):(?:\d+:)?\s+(?:required from|note: in instantiation|  in ')")
INCLUDED = re.compile(r"from (?:.*/)?cell\.(?:c|cpp):(\d+)")
LINKER = re.compile(r"(?:cell\.(?:c|cpp):(\d+):\S* |: )?(undefined reference to|multiple definition of) [`'‘](.+?)['’]")


@dataclass(frozen=True)
class Message:
    """An error or a warning; ``line`` counts the line of ``%%openmp`` as 1 and is None if it is not in the cell."""

    kind: str
    line: int | None
    column: int | None
    text: str


def parse_messages(output: str, cell_file: str) -> list[Message]:
    """The messages of GCC or Clang, in their order, each once; notes are left out."""
    found: list[Message] = []
    context = None
    for line in output.splitlines():
        header, place = HEADER.match(line), CONTEXT.match(line) or INCLUDED.search(line)
        if header:
            inside = Path(header["file"]).name == cell_file
            number = int(header["line"]) if inside else context
            column = int(header["column"]) if inside and header["column"] else None
            text = re.sub(r" \[-W[^\]]*\]$", "", header["text"])
            if Path(header["file"]).stem == "call":  # what is put behind a cell that is a function
                text = f"behind the last line of the cell: {text}" if header["kind"] == "warning" else UNFINISHED
            elif not inside:
                text = f"{text} (in {Path(header['file']).name})"
            kind = "warning" if header["kind"] == "warning" else "error"
            found.append(Message(kind, number, column, text))
            context = None
        elif place:
            context = int(place.group(1))
            if found and found[-1].line is None and "note: in instantiation" in line:
                last = found[-1]
                found[-1] = Message(last.kind, context, None, last.text)
    if not any(message.kind == "error" for message in found):
        for match in LINKER.finditer(output):
            number = int(match.group(1)) if match.group(1) else None
            what = "is used, but defined nowhere" if match.group(2).startswith("undefined") else "is defined twice"
            found.append(Message("error", number, None, f"{match.group(3)} {what}"))
        known = {message.text for message in found if message.line is not None}
        found = [message for message in found if message.line is not None or message.text not in known]
    return list(dict.fromkeys(found))


def show_messages(messages: list[Message], cell: str, *, most: int = MOST_SHOWN) -> str:
    """Messages with the quoted line of the cell and a caret.

    Parameters
    ----------
    messages : list of Message
    cell : str
        The cell; its first line is number 2.

    Examples
    --------
    >>> print(show_messages([Message("error", 3, 8, "'x' undeclared")], "int f(void) {\\nreturn x; }"))
    line 3: error: 'x' undeclared
        3 | return x; }
          |        ^
    """
    lines = cell.split("\n")
    parts = []
    for message in messages[:most]:
        where = f"line {message.line}: " if message.line is not None else ""
        part = f"{where}{message.kind}: {message.text}"
        if message.line is not None and 0 <= message.line - 2 < len(lines):
            quoted = lines[message.line - 2]
            part += f"\n{message.line:>5} | {quoted}"
            if message.column:
                before = re.sub(r"[^\t]", " ", quoted[: message.column - 1])
                part += f"\n{'':>5} | {before}^"
        parts.append(part)
    if len(messages) > most:
        parts.append(f"... and {len(messages) - most} more.")
    return "\n".join(parts)


def refusal(output: str, cell: str, cell_file: str) -> tuple[str, tuple[Message, ...]]:
    """The text of the error of a cell that was refused, and its messages, errors first."""
    messages = parse_messages(output, cell_file)
    errors = [message for message in messages if message.kind == "error"]
    if not errors:
        raw = [line for line in output.splitlines() if line.strip()][-MOST_RAW_LINES:]
        words = "\n".join(raw) or "the compiler ended without a word."
        return f"The cell does not compile:\n{words}", tuple(messages)
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    text = f"The cell does not compile, {count}:\n" + show_messages(errors, cell)
    return text, tuple(errors + [message for message in messages if message.kind != "error"])
