"""What of a cell is run, and with how many threads if nobody says."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import UsageError
from labkit.openmp.cell.prototype import Function, functions_of

ENTRY = "run"


def choose_entry(text: str, call: str | None, args: Sequence[str] | None) -> Function | None:
    """The function of the cell to call; None for a whole program with ``main``.

    Raises
    ------
    UsageError
        There is nothing to run, or two things.
    """
    functions = functions_of(text)
    others = [name for name in functions if name != "main"]
    if call is not None and call not in functions:
        there = f"it defines {', '.join(others)}" if others else "it defines no function"
        raise UsageError(
            f"--call {call}: the cell has no function {call} outside of others; {there}: correct the name."
        )
    if call == "main":
        raise UsageError("--call main: a whole program is run without --call and --args: leave them out.")
    if "main" in functions:
        entry = call or (ENTRY if ENTRY in functions else None)
        if entry or args is not None:
            raise UsageError(
                f"The cell has a main, and {f'a function {entry} to call' if entry else '--args for a function'}: is "
                f"it a "
                f"whole program, or a function with arguments of the notebook? Keep one of the two."
            )
        return None
    if call is None and ENTRY not in functions:
        if not others:
            raise UsageError(
                f"The cell has neither a main nor a function {ENTRY}: write int main(void) {{ ... }} or one."
            )
        raise UsageError(
            f"The cell has neither a main nor a function {ENTRY}; it defines {', '.join(others)}: name the one to "
            f"call, "
            f"for example --call {others[-1]}."
        )
    return functions[call or ENTRY]


def usable_cores() -> int:
    """Hardware threads that this process may use."""
    from labkit.hardware.topology import detect_topology

    return max(1, detect_topology().num_usable)


def default_threads(num_cores: int) -> tuple[int, ...]:
    """1, 2, 4, ... and all cores.

    Examples
    --------
    >>> default_threads(6)
    (1, 2, 4, 6)
    """
    powers = [2**k for k in range(num_cores.bit_length()) if 2**k <= num_cores]
    return tuple(sorted({*powers, num_cores}))
