"""A cell compiled once more, to be looked at: its machine code, and what the compiler says about its loops."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.errors import CompileError, UsageError
from labkit.openmp.cell import assembly
from labkit.openmp.cell.assembly import AsmFunction, Loop
from labkit.openmp.cell.build import MOST_SECONDS, build_folder, run_compiler, write_cell
from labkit.openmp.cell.compilers import FLAGS, Compiler, machine_flags
from labkit.openmp.cell.diagnostics import refusal
from labkit.openmp.cell.prototype import functions_of
from labkit.openmp.cell.vectors import CLANG_OPTIONS, GCC_OPTIONS, Remark, parse_remarks


def assembly_of(
    cell: str, compiler: Compiler, flags: Sequence[str] = (), *, timeout_s: float = MOST_SECONDS
) -> list[AsmFunction]:
    """The machine code of the functions of a cell."""
    keep = ["-fkeep-static-functions"] if compiler.family == "gcc" else []
    text = _compile(cell, compiler, [*flags, *keep, "-S", "-o", "-"], timeout_s)
    functions = assembly.parse_assembly(text, f"cell{compiler.suffix}")
    names = assembly.demangled([f.name for f in functions]) if compiler.cxx else [f.name for f in functions]
    return [AsmFunction(name, f.first_line, f.body) for name, f in zip(names, functions, strict=True)]


def show_assembly(functions: list[AsmFunction], cell: str, name: str = "") -> tuple[str, tuple[Loop, ...]]:
    """The innermost loops of all functions, or, with a name, the whole of one with its parallel regions.

    Raises
    ------
    UsageError
        No such function.
    """
    loops = assembly.innermost_loops(functions)
    if not name:
        if not loops:
            return "No loop is left in the machine code; --emit-asm FUNCTION shows a whole function.", ()
        return assembly.show_loops(loops, cell), tuple(loops)
    starts = {found.name: found.line for found in functions_of(cell).values()}
    if name not in starts:
        raise UsageError(
            f"--emit-asm {name}: the cell defines {', '.join(starts) or 'no function'}: name one of these."
        )
    later = [line for line in starts.values() if line > starts[name]]
    chosen = [f for f in functions if starts[name] <= (f.first_line or 0) < min(later, default=10**9)]
    text = "\n\n".join(f"{f.name}:\n{assembly.show_code(f.body, cell)}" for f in chosen)
    kept = tuple(loop for loop in loops if loop.function in {f.name for f in chosen})
    return text or f"{name} has no machine code of its own: it was merged into its callers.", kept


def remarks_of(
    cell: str, compiler: Compiler, flags: Sequence[str] = (), *, timeout_s: float = MOST_SECONDS
) -> list[Remark]:
    """What the compiler says about the loops of a cell."""
    options = GCC_OPTIONS if compiler.family == "gcc" else CLANG_OPTIONS
    output = _compile(cell, compiler, [*flags, *options, "-c", "-o", "/dev/null"], timeout_s)
    return parse_remarks(output, f"cell{compiler.suffix}", cell)


def _compile(cell: str, compiler: Compiler, options: Sequence[str], timeout_s: float) -> str:
    folder = build_folder() / "inspected"
    folder.mkdir(exist_ok=True)
    cell_file = f"cell{compiler.suffix}"
    write_cell(cell, folder / cell_file)
    command = [compiler.path, *FLAGS, *machine_flags(), "-w", *options, cell_file]
    status, output = run_compiler(command, folder, timeout_s)
    if status != 0:
        raise CompileError(*refusal(output, cell, cell_file))
    return output
