"""Runs the test suite, called by ``make test``.

With arguments they go to pytest. Without, the suite runs in parts, ``AT_ONCE`` side by side: many tests wait, for
queues, for a browser, for processes that are to end, while others compute. The long parts start first; what a part
says is printed when it has ended.

A test that fails beside others runs once more alone, when all parts have ended, and so do tests that a part did not
come to because one of them ended it. What passes then is listed, and the run is a success. More than ``MOST_ALONE``
failures are a defect and no disturbance: nothing runs again.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from part_results import Results, listed, read_results, shortened, table

# Files and folders of each part, by falling duration; what is named nowhere here is a part, too, the fourth.
PARTS = [
    ["tests/training"],
    ["tests/cluster", "tests/test_run.py"],
    ["tests/browser"],
    ["tests/mpi", "tests/grading"],
    ["tests/openmp", "tests/setup"],
    ["tests/exercises"],
    ["tests/serving"],
    ["tests/widgets", "tests/magics", "tests/notebooks"],
]
AT_ONCE = 3
MOST_ALONE = 50
OPTIONS = ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
ONE_PART = [sys.executable, str(Path(__file__).with_name("one_part.py"))]


def commands() -> list[list[str]]:
    """The arguments of pytest, part by part; together they run every test once."""
    rest = [f"--ignore={path}" for part in PARTS for path in part]
    return [[*OPTIONS, *part] for part in [*PARTS[:3], rest, *PARTS[3:]]]


def run(arguments: list[str]) -> int:
    """Run pytest; return its exit status: of several, 0 if all is well."""
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    with tempfile.TemporaryDirectory(prefix="labkit-suite-") as folder:
        parts = run_side_by_side(Path(folder))
        return conclude(parts, Path(folder))


def run_side_by_side(folder: Path) -> list[Results]:
    """Run all parts, some at once."""
    waiting, running, results = commands(), [], []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(Part(waiting.pop(0), folder / f"part{len(waiting)}"))
            time.sleep(0.2)
            for part in [part for part in running if part.process.poll() is not None]:
                running.remove(part)
                results.append(part.tell())
    finally:
        for part in running:
            part.process.terminate()
        for part in running:
            part.process.wait()
            part.tell()
    return results


def conclude(parts: list[Results], folder: Path) -> int:
    """Run alone what failed beside others, print what came of all; the exit status."""
    beside = {test: words for part in parts for test, words in part.failures.items()}
    unfinished = [test for part in parts for test in part.unfinished]
    alone, remark = [], ""
    if len(beside) > MOST_ALONE:
        remark = f"{len(beside)} tests failed, more than {MOST_ALONE}: that is a defect, so none runs again alone."
    elif beside or unfinished:
        alone = run_alone([*beside, *unfinished], folder)
        failed = {test: words for part in alone for test, words in part.failures.items()}
        passed = {test: words for test, words in beside.items() if outcome_of(test, alone) == "passed"}
        beside = failed | {test: words for test, words in beside.items() if test not in passed and test not in failed}
        unfinished = [test for test in unfinished if outcome_of(test, alone) == ""]
        if passed:
            remark = f"{len(passed)} tests failed beside others and passed alone:\n{listed(passed, 8)}"
    print(f"\n{'=' * 30} all parts {'=' * 30}\n{table([*parts, *alone])}\n")
    problems = [f"{part.name}: {part.other_problem}" for part in [*parts, *alone] if part.other_problem]
    if unfinished:
        problems.append(f"{len(unfinished)} tests did not run: {' '.join(unfinished)[:2000]}")
    print("\n".join([text for text in (remark, *problems, listed(beside)) if text]))
    if beside:
        print(f"{len(beside)} tests failed.")
    return 1 if beside or problems else 0


def run_alone(tests: list[str], folder: Path) -> list[Results]:
    """Run tests one after the other; where one of them ends the run, it goes on after that one."""
    results = []
    while tests:
        list_of_tests = folder / f"tests{len(results)}"
        list_of_tests.write_text("\n".join(tests))
        part = Part([*OPTIONS, f"@{list_of_tests}"], folder / f"alone{len(results)}", f"alone ({len(tests)} tests)")
        part.process.wait()
        results.append(part.tell())
        tests = [test for test in results[-1].unfinished if results[-1].outcomes]
    return results


def outcome_of(test: str, parts: list[Results]) -> str:
    """What came of a test, or of all tests of a file; "" if it has not run."""
    outcomes = {
        outcome for part in parts for one, outcome in part.outcomes.items() if one == test or one.startswith(f"{test}::")
    }
    if test in {one for part in parts for one in part.failures} or "failed" in outcomes:
        return "failed"
    return "passed" if "passed" in outcomes else "skipped" if outcomes else ""


class Part:
    """A run of pytest in a process of its own, which has been started."""

    def __init__(self, arguments: list[str], journal: Path, name: str = ""):
        shown = [argument for argument in arguments[len(OPTIONS) :] if not argument.startswith("--")]
        self.name, self.journal = name or " ".join(shown) or "all other tests", journal
        print(f"Started: {self.name}", flush=True)
        self.said = tempfile.TemporaryFile("w+", errors="replace")
        self.began_s = time.monotonic()
        self.process = subprocess.Popen(
            [*ONE_PART, str(journal), *arguments], stdout=self.said, stderr=subprocess.STDOUT
        )

    def tell(self) -> Results:
        """Print what it has said, and return what came of it."""
        duration_s = time.monotonic() - self.began_s
        self.said.seek(0)
        words = self.said.read()
        self.said.close()
        status = self.process.returncode
        print(f"\n{self.name}: ended with status {status} after {duration_s:.0f} s\n{words}", flush=True)
        return read_results(self.journal, self.name, duration_s, status, shortened(words))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
