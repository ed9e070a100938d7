"""Options of magics: parsed, checked, and refused in one sentence."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import NoReturn

from labkit.errors import UsageError


class OptionParser(argparse.ArgumentParser):
    """An argument parser that raises :class:`~labkit.errors.UsageError` and never exits."""

    def __init__(self, magic: str, description: str):
        super().__init__(prog=magic, description=description, add_help=False, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. {self._usage()}")

    def parse_line(self, line: str) -> argparse.Namespace:
        """The options of a magic's line; ``%magic -h`` is answered by an error that lists them."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            self.error(str(error).lower())
        if "-h" in words or "--help" in words:
            raise UsageError(self._usage())
        return self.parse_args(words)

    def _usage(self) -> str:
        return " ".join(self.format_usage().split()).replace("usage:", "Usage:")


def parse_ranks(text: str, num_ranks: int) -> list[int]:
    """Ranks written as ``"0,2"`` or ``"0-3,7"``, each below ``num_ranks``.

    Examples
    --------
    >>> parse_ranks("0,2-3", 4)
    [0, 2, 3]
    """
    ranks: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            raise UsageError(f"--ranks {text}: write ranks as 0,2 or 0-3.") from None
        ranks.update(range(low, high + 1))
    if not ranks:
        raise UsageError(f"--ranks {text}: names no rank; write ranks as 0,2 or 0-3.")
    wrong = sorted(rank for rank in ranks if not 0 <= rank < num_ranks)
    if wrong:
        raise UsageError(
            f"--ranks {text}: there is no rank {wrong[0]}, the {num_ranks} ranks are "
            f"0 to {num_ranks - 1}."
        )
    return sorted(ranks)


def positive_seconds(text: str) -> float:
    """A time limit in seconds."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return seconds


def check_names(names: Sequence[str], magic: str) -> list[str]:
    """Names of variables, given with spaces or commas between."""
    found = [name for word in names for name in word.split(",") if name]
    for name in found:
        if not name.isidentifier():
            raise UsageError(f"{magic}: {name!r} is not the name of a variable.")
    if not found:
        raise UsageError(f"{magic}: name at least one variable, for example: {magic} data")
    return found
