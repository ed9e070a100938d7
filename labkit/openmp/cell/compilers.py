"""Which compiler a cell gets, and one sentence on how to get one where there is none."""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import NotAvailableError, UsageError

FLAGS = ("-O3", "-fopenmp", "-g", "-Wall", "-Werror=unknown-pragmas")
RACE_FLAGS = ("-O0", "-fopenmp", "-g", "-fsanitize=thread", "-Wall", "-Werror=unknown-pragmas")  # -O0: exact lines
OF_LABKIT = {"-o", "-c", "-S", "-E", "-M", "-MM", "-x", "-shared", "--version", "-v", "-", "-fsyntax-only", "-###"}
GET_COMPILER = (
    "install one: on Debian or Ubuntu sudo apt install gcc g++ libc6-dev, with conda conda install -c conda-forge "
    "compilers, on macOS brew install gcc"
)
GET_CLANG = (
    "on Debian or Ubuntu sudo apt install clang libomp-dev libclang-rt-dev llvm, with conda conda install -c "
    "conda-forge clangxx openmp compiler-rt, on macOS brew install llvm libomp"
)


@dataclass(frozen=True)
class Compiler:
    """A compiler of this machine: its command, ``gcc`` or ``clang``, and whether it takes the cell as C++."""

    path: str
    family: str
    cxx: bool

    @property
    def suffix(self) -> str:
        return ".cpp" if self.cxx else ".c"


def find_compiler(name: str | None, *, cxx: bool) -> Compiler:
    """The compiler that was asked for, or the usual one of this machine.

    Raises
    ------
    NotAvailableError
        There is none.
    UsageError
        What was named is no compiler that is known here.
    """
    names = [name] if name else _usual_names()
    wanted = [_for_cxx(n) if cxx else n for n in names]
    path = next((found for found in map(shutil.which, wanted) if found), None)
    if path is None:
        language = "C++" if cxx else "C"
        if name is None:
            raise NotAvailableError(f"%%openmp: this machine has no {language} compiler ({wanted[0]}): {GET_COMPILER}.")
        remedy = GET_CLANG if "clang" in name else GET_COMPILER
        raise NotAvailableError(f"%%openmp: --compiler {name}: this machine has no {wanted[0]}: {remedy}.")
    family = _family(path)
    if family is None:
        raise UsageError(
            f"%%openmp: --compiler {name or path} is neither GCC nor Clang: name one of them, such as gcc."
        )
    if family == "apple":
        raise NotAvailableError(
            f"%%openmp: {path} is Apple's Clang, which has no OpenMP: brew install gcc brings one that has."
        )
    return Compiler(path, family, cxx or "++" in Path(path).name)


def _usual_names() -> list[str]:
    versions = [f"gcc-{n}" for n in range(19, 9, -1)]
    return versions + ["gcc"] if sys.platform == "darwin" else ["gcc", "cc", *versions, "clang"]


def _for_cxx(name: str) -> str:
    """The C++ compiler that belongs to a C compiler: ``g++-13`` to ``gcc-13``."""
    folder, base = os.path.split(name)
    if "++" in base:
        return name
    base = re.sub(r"^clang", "clang++", re.sub(r"^(.*-)?gcc", r"\1g++", re.sub(r"^cc$", "c++", base)))
    return os.path.join(folder, base)


@functools.lru_cache(maxsize=32)
def _family(path: str) -> str | None:
    try:
        text = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=20
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    if "Apple" in text:
        return "apple"
    if "clang" in text or "oneAPI" in text:
        return "clang"
    known_name = re.search(r"(?:gcc|g\+\+|cc|c\+\+)(?:-[\d.]+)?$", os.path.basename(path))
    return "gcc" if known_name and "Free Software Foundation" in text else None


def machine_flags() -> tuple[str, ...]:
    """The option for the instructions of this very processor."""
    return ("-mcpu=native",) if platform.machine() in ("arm64", "aarch64", "ppc64le") else ("-march=native",)


def check_flags(flags: list[str]) -> list[str]:
    """Options of the user, without those that would change what comes out of the compiler."""
    for flag in flags:
        if flag in OF_LABKIT or flag.startswith(("-o", "-fsanitize=thread")):
            why = "--races does that, with the runtime it needs" if "sanitize" in flag else "the cell becomes a program"
            raise UsageError(f'--flags "{" ".join(flags)}": {flag} is not for a cell ({why}): leave it out.')
        if not flag.startswith("-"):
            raise UsageError(f'--flags "{" ".join(flags)}": {flag!r} is no option of a compiler: options begin with -.')
    return flags


@dataclass(frozen=True)
class RaceTools:
    """Clang with its thread sanitizer, and Archer, which tells the sanitizer what OpenMP synchronizes."""

    compiler: Compiler
    archer: str
    symbolizer: str | None


def find_race_tools(name: str | None, *, cxx: bool) -> RaceTools:
    """What ``--races`` needs.

    Raises
    ------
    NotAvailableError
        Clang, its runtime of the sanitizer, or Archer is missing.
    UsageError
        Another compiler was asked for: GCC's sanitizer does not know its OpenMP runtime and accuses correct code.
    """
    names = [name] if name else ["clang", *(f"clang-{n}" for n in range(25, 11, -1))]
    found = next((n for n in names if shutil.which(_for_cxx(n) if cxx else n)), None)
    if found is None:
        raise NotAvailableError(f"%%openmp --races needs Clang with its OpenMP runtime: {GET_CLANG}.")
    compiler = find_compiler(found, cxx=cxx)
    if compiler.family != "clang":
        raise UsageError(
            f"%%openmp --races: {compiler.path} is GCC, whose sanitizer accuses correct OpenMP code: leave "
            f"--compiler out "
            f"or name clang."
        )
    resources = Path(_asked(compiler.path, "-print-resource-dir"))
    if not list(resources.glob("lib/**/*tsan*")):
        raise NotAvailableError(
            f"%%openmp --races: {compiler.path} lacks its thread sanitizer (compiler-rt): {GET_CLANG}."
        )
    archer = _archer(compiler.path, resources)
    if archer is None:
        raise NotAvailableError(
            f"%%openmp --races: {compiler.path} comes without libarcher.so of its OpenMP runtime: {GET_CLANG}."
        )
    symbolizer = _asked(compiler.path, "-print-prog-name=llvm-symbolizer")
    return RaceTools(compiler, archer, shutil.which(symbolizer) or shutil.which("llvm-symbolizer"))


def _asked(path: str, question: str) -> str:
    run = subprocess.run([path, question], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    return run.stdout.strip()


def _archer(path: str, resources: Path) -> str | None:
    """libarcher.so of the same LLVM."""
    asked = Path(_asked(path, "-print-file-name=libarcher.so"))
    places = [asked, *(parent / "libarcher.so" for parent in list(resources.parents)[:4])]
    places += [Path(path).resolve().parent.parent / "lib" / "libarcher.so"]
    return next((str(place) for place in places if place.is_absolute() and place.exists()), None)
