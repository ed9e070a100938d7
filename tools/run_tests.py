"""Runs the test suite, called by ``make test``.

With arguments they go to pytest. Without, two halves run side by side: the tests of clusters mostly wait, for queues
and for nodes that are down, while the others compute; those of threads go with them, so that both halves take about
as long. What the second half says is printed at the end.
"""

import subprocess
import sys
import tempfile

SECOND_HALF = ["tests/cluster", "tests/test_run.py", "tests/openmp"]
PYTEST = [sys.executable, "-m", "pytest"]


def run(arguments: list[str]) -> int:
    """Run pytest; return its exit status."""
    if arguments:
        return subprocess.call([*PYTEST, *arguments])
    with tempfile.TemporaryFile("w+") as said:
        second = [*PYTEST, "-p", "no:cacheprovider", *SECOND_HALF]
        waiting = subprocess.Popen(second, stdout=said, stderr=subprocess.STDOUT)
        try:
            statuses = [subprocess.call([*PYTEST, *(f"--ignore={path}" for path in SECOND_HALF)])]
            print("Waiting for the tests of clusters and threads ...", flush=True)
            statuses.append(waiting.wait())
        finally:
            if waiting.poll() is None:
                waiting.terminate()
                waiting.wait()
            said.seek(0)
            print(said.read(), end="", flush=True)
    return next((status for status in statuses if status), 0)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
