"""Runs the test suite, called by ``make test``.

With arguments they go to pytest. Without, the suite runs in parts, ``AT_ONCE`` side by side: many tests wait, for
queues, for a browser, for processes that are to end, while others compute. The long parts start first; what a part
says is printed when it has ended.
"""

import subprocess
import sys
import tempfile
import time

# Files and folders of each part, by falling duration; what is named nowhere here is a part, too, the second.
PARTS = [
    ["tests/cluster", "tests/test_run.py"],
    ["tests/mpi", "tests/grading"],
    ["tests/exercises", "tests/training"],
    ["tests/browser"],
    ["tests/openmp", "tests/setup"],
    ["tests/widgets", "tests/magics", "tests/notebooks"],
]
AT_ONCE = 3
PYTEST = [sys.executable, "-m", "pytest"]


def commands() -> list[list[str]]:
    """The arguments of pytest, part by part; together they run every test once."""
    rest = [f"--ignore={path}" for part in PARTS for path in part]
    return [["-p", "no:cacheprovider", *part] for part in [PARTS[0], rest, *PARTS[1:]]]


def run(arguments: list[str]) -> int:
    """Run pytest; return its exit status: of several, the first that is not 0."""
    if arguments:
        return subprocess.call([*PYTEST, *arguments])
    waiting, running, statuses = commands(), [], []
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                running.append(start(waiting.pop(0)))
            time.sleep(0.2)
            for part in [part for part in running if part[0].poll() is not None]:
                running.remove(part)
                statuses.append(tell(*part))
    finally:
        for process, *_ in running:
            process.terminate()
        for part in running:
            part[0].wait()
            tell(*part)
    return next((status for status in statuses if status), 0)


def start(arguments: list[str]):
    """(The process of a part, what it says, its name, when it began.)"""
    name = " ".join(argument for argument in arguments[2:] if not argument.startswith("--")) or "all other tests"
    print(f"Started: {name}", flush=True)
    said = tempfile.TemporaryFile("w+", errors="replace")
    process = subprocess.Popen([*PYTEST, *arguments], stdout=said, stderr=subprocess.STDOUT)
    return process, said, name, time.monotonic()


def tell(process, said, name: str, began_s: float) -> int:
    """Print what a part has said, and return its exit status."""
    said.seek(0)
    duration_s = time.monotonic() - began_s
    print(f"\n{name}: ended with status {process.returncode} after {duration_s:.0f} s\n{said.read()}", flush=True)
    said.close()
    return process.returncode


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
