"""What came of a part of the test suite, read from the journal of :mod:`one_part`, and the summary of all parts."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

FIRST_LINES, LAST_LINES = 15, 30  # of a traceback that is shown
NUM_SLOWEST = 12


@dataclass
class Results:
    """One run of pytest.

    Attributes
    ----------
    outcomes : dict of str to str
        By test: "passed", "failed", "skipped".
    failures : dict of str to str
        What failed, tests and files, and a short traceback.
    seconds : dict of str to float
        By test.
    unfinished : list of str
        Tests that were to run, and have no outcome: this run was ended.
    status : int
        The exit status of pytest; 1 if it was ended.
    refused : list of str
        Skips that are not allowed on CI.
    """

    name: str
    duration_s: float
    status: int
    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def other_problem(self) -> str:
        """Why this run is no success, beside its failures; "" if there is nothing."""
        if self.refused:
            return "skips that are not allowed on CI: " + "; ".join(self.refused)
        if self.status not in (0, 1) or (self.status == 1 and not self.failures):
            return f"exit status {self.status}"
        return ""

    def counts(self) -> Counter:
        return Counter(self.outcomes.values())


def read_results(journal: Path, name: str, duration_s: float, status: int, words: str = "") -> Results:
    """Read a journal; ``words`` is what the process has said, for a test that ended it."""
    found = Results(name, duration_s, status)
    tests, running, has_ended = [], None, False
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        kind, *values = json.loads(line)
        if kind == "tests":
            tests = values[0]
        elif kind == "begins":
            running = values[0]
        elif kind == "error":
            found.failures[values[0]] = values[1]
        elif kind == "test":
            _add(found, *values)
            running = None if values[1] == "teardown" else running
        else:
            has_ended, (found.status, found.refused) = True, values
    if not has_ended:
        found.status = status or 1
        if running is not None:
            found.status, found.outcomes[running] = 1, "failed"
            found.failures[running] = f"the run ended in this test (exit status {status})\n{shortened(words)}"
        found.unfinished = [test for test in tests if test not in found.outcomes]
    return found


def _add(found: Results, test: str, when: str, outcome: str, seconds: float, words: str) -> None:
    found.seconds[test] = found.seconds.get(test, 0.0) + seconds
    if outcome == "failed":
        found.outcomes[test] = "failed"
        found.failures[test] = words if when == "call" else f"in {when}:\n{words}"
    elif outcome == "skipped" or when == "call":
        found.outcomes.setdefault(test, outcome)


def shortened(words: str) -> str:
    """The first and the last lines."""
    lines = words.strip().splitlines()
    if len(lines) > FIRST_LINES + LAST_LINES:
        left_out = len(lines) - FIRST_LINES - LAST_LINES
        lines = [*lines[:FIRST_LINES], f"... ({left_out} lines)", *lines[-LAST_LINES:]]
    return "\n".join(line[:400] for line in lines)


def table(parts: list[Results]) -> str:
    """A line for each part, the slowest first, and the slowest tests."""
    lines = [f"{'status':>7} {'time':>7} {'passed':>7} {'failed':>7} {'skipped':>7}  part, the slowest first"]
    for part in sorted(parts, key=lambda part: -part.duration_s):
        counts = part.counts()
        word = "ended" if part.unfinished else "ok" if not (part.failures or part.other_problem) else "failed"
        numbers = " ".join(f"{counts[outcome]:7}" for outcome in ("passed", "failed", "skipped"))
        lines.append(f"{word:>7} {part.duration_s:5.0f} s {numbers}  {part.name}")
    seconds = Counter()
    for part in parts:
        seconds.update(part.seconds)
    lines += ["", "The slowest tests:"]
    lines += [f"{duration:5.0f} s  {test}" for test, duration in seconds.most_common(NUM_SLOWEST)]
    return "\n".join(lines)


def listed(failures: dict[str, str], num_lines: int | None = None) -> str:
    """Tests with their tracebacks; with ``num_lines``, so many last lines of each."""
    found = []
    for test, words in failures.items():
        lines = shortened(words).splitlines()
        lines = lines if num_lines is None else lines[-num_lines:]
        found.append("\n".join([f"FAILED {test}", *(f"    {line}" for line in lines)]))
    return "\n".join(found)
