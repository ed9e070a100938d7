"""``labkit bench``: run the benchmarks of a checkout and compare them with their goals.

A file ``benchmarks/<topic>.py`` has a function ``benchmarks()`` that yields :class:`Benchmark`
values. Results are checked first; ours and the other are measured in turn in one run; what counts
is their ratio (or difference), never an absolute time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import operator
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import UsageError
from labkit.hardware.timing import Comparison, compare
from labkit.hardware.topology import detect_topology

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
MEETS, SHORT, BUSY, WRONG = "meets", "falls short", "inconclusive: the machine was busy", "wrong result"
COMPARISONS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on ``ours / other``, or with ``of="difference"`` on ``ours - other``."""

    sign: str
    bound: float
    of: str = "ratio"
    unit: str = ""

    def holds(self, comparison: Comparison) -> bool:
        return COMPARISONS[self.sign](getattr(comparison, self.of), self.bound)

    def __str__(self) -> str:
        if self.of == "ratio":
            return f"{self.sign} {self.bound:g} x"
        return f"{self.sign} {self.bound:g} {self.unit} more"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One comparison.

    Attributes
    ----------
    name : str
    goal : Goal
    measure : callable
        Returns a :class:`~labkit.hardware.timing.Comparison`; see also :func:`timed`.
    check : callable
        Raises AssertionError if a result is wrong; called before measuring.
    unit : str
        Of the samples.
    """

    name: str
    goal: Goal
    measure: Callable[[], Comparison]
    check: Callable[[], object] = lambda: None
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``ours`` and ``other`` are medians."""

    topic: str
    name: str
    ours: float | None
    other: float | None
    ratio: float | None
    goal: str
    verdict: str
    unit: str = "s"


def timed(ours: Callable[[], object], other: Callable[[], object], rounds: int = 9) -> Callable[[], Comparison]:
    """The usual ``measure``: two functions timed in turn."""
    return lambda: compare(ours, other, rounds=rounds)


def run_benchmark(topic: str, benchmark: Benchmark) -> Row:
    """Check, measure, judge."""
    goal = str(benchmark.goal)
    try:
        benchmark.check()
    except AssertionError as error:
        verdict = f"{WRONG}: {error}" if str(error) else WRONG
        return Row(topic, benchmark.name, None, None, None, goal, verdict, benchmark.unit)
    comparison = benchmark.measure()
    if benchmark.goal.holds(comparison):
        verdict = MEETS
    else:
        verdict = BUSY if comparison.busy else SHORT
    return Row(
        topic, benchmark.name, statistics.median(comparison.ours), statistics.median(comparison.other),
        comparison.ratio, goal, verdict, benchmark.unit,
    )


def find_topics(folder: Path = BENCHMARKS) -> list[str]:
    """The topics of a checkout."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: benchmarks run in a checkout of the project.")
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def load_topic(topic: str, folder: Path = BENCHMARKS) -> Iterable[Benchmark]:
    """The benchmarks of a topic."""
    spec = importlib.util.spec_from_file_location(f"labkit_benchmarks_{topic}", folder / f"{topic}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # compiled functions kept on disk are found again by the name of their module
    spec.loader.exec_module(module)
    return module.benchmarks()


def row_text(row: Row) -> str:
    """A row of the table."""
    if row.ratio is None:
        return f"{row.topic:14} {row.name:46} {'':>10} {'':>10} {'':>8}  {row.goal:14} {row.verdict}"
    return (
        f"{row.topic:14} {row.name:46} {_number(row.ours, row.unit):>10} {_number(row.other, row.unit):>10} "
        f"{row.ratio:8.3f}  {row.goal:14} {row.verdict}"
    )


def _number(value: float, unit: str) -> str:
    if unit == "s":
        for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "us")):
            if value * scale >= 1 or name == "us":
                return f"{value * scale:.3g} {name}"
    return f"{value:.4g} {unit}"


def machine_text() -> str:
    """The machine in a line."""
    t = detect_topology()
    return f"{t.cpu_model}, {t.num_cores} cores, {t.num_usable} usable, {t.memory_bytes / 1e9:.0f} GB, Python {sys.version.split()[0]}"


def main(argv: list[str] | None = None, folder: Path = BENCHMARKS) -> int:
    """Run the benchmarks of the named topics, or all; exit status 1 if one falls short."""
    parser = argparse.ArgumentParser(prog="labkit bench", description=main.__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--list", action="store_true", help="print the topics")
    options = parser.parse_args(argv)
    topics = find_topics(folder)
    if options.list:
        print("\n".join(topics))
        return 0
    for topic in options.topics:
        if topic not in topics:
            raise UsageError(f"there is no topic {topic!r}; the topics are {', '.join(topics)}.")
    notes = sys.stderr if options.json else sys.stdout
    print(machine_text(), file=notes)
    if not options.json:
        print(f"{'topic':14} {'name':46} {'ours':>10} {'other':>10} {'ratio':>8}  {'goal':14} verdict")
    rows = []
    for topic in options.topics or topics:
        for benchmark in load_topic(topic, folder):
            row = run_benchmark(topic, benchmark)
            rows.append(row)
            print(row_text(row), file=notes, flush=True)
    if options.json:
        keys = ("topic", "name", "ours", "other", "ratio", "goal", "verdict")
        print(json.dumps([{key: asdict(row)[key] for key in keys} for row in rows], indent=2))
    return 1 if any(row.verdict == SHORT or row.verdict.startswith(WRONG) for row in rows) else 0
