"""Checking an answer, and grading a class: against the goals of the project, and against nbgrader."""

import dataclasses
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from labkit.bench import Benchmark, Goal
from labkit.grading.exercise import exercise_names, load_exercise
from labkit.hardware.timing import Comparison, Contention, compare, seconds_of

ROOT = Path(__file__).parents[1]
EXERCISES = ROOT / "exercises"
CHECK_S, SIMULATED_S = 3.0, 1.0
NUM_QUESTIONS = 10
FEW, MANY = 20, 200
EXERCISE = '''
from labkit.grading.exercise import Case, Exercise

def cases():
    return [Case(f"n = {{n}}", ((n,),), ({{"return": n + {number}}},)) for n in range(5)]

exercise = Exercise(title="Add {number}", function="add_{number}", points=1, cases=cases, hints=("", "", ""))
'''
# What a command and all that it has started took at most, in KiB.
PEAK = """
import resource, sys
from labkit.cli import main
status = main(sys.argv[1:])
print("peak", max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
sys.exit(status)
"""


@functools.cache
def checks():
    """Seconds to check the reference of each exercise, seconds without real ranks, and whether others used the machine."""
    from labkit.grading.judge import judge

    whole, simulated = [], []
    with Contention() as contention, tempfile.TemporaryDirectory() as scratch:
        for name in exercise_names(EXERCISES):
            exercise = load_exercise(name, EXERCISES)
            source = (exercise.folder / "reference.py").read_text()
            verdicts = []
            whole.append(seconds_of(lambda: verdicts.append(judge(exercise, source))))
            cases = [case for case in exercise.all_cases() if not case.real]
            folder = Path(scratch, name)
            folder.mkdir(parents=True)
            shutil.copy(exercise.folder / "starter.py", folder)
            without = dataclasses.replace(exercise, cases=lambda cases=cases: cases, folder=folder)
            simulated.append(seconds_of(lambda: verdicts.append(judge(without, source))))
            assert all(verdict.passed for verdict in verdicts), verdicts
    return whole, simulated, contention.busy


def slowest(which, bound):
    """The slowest of the exercises against a bound in s."""
    *found, busy = checks()
    return Comparison((max(found[which]),), (bound,), busy)


def run(*arguments, cwd, home=None):
    """Run a module of this Python, which must end well; what it has printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    if home is not None:
        environment |= {"HOME": str(home), "IPYTHONDIR": f"{home}/ipython", "JUPYTER_CONFIG_DIR": f"{home}/jupyter"}
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
    return done.stdout


def short_questions(folder, number_of_questions):
    """A topic of questions that take no time by themselves: what is measured is the machinery."""
    for number in range(number_of_questions):
        home = folder / "short" / f"add_{number}"
        home.mkdir(parents=True)
        (home / "exercise.py").write_text(EXERCISE.format(number=number))
        (home / "statement.md").write_text(f"# Add {number}\n")
        (home / "starter.py").write_text(f"def add_{number}(n):\n    raise NotImplementedError\n")
        (home / "reference.py").write_text(f"def add_{number}(n):\n    return n + {number}\n")
    return "short"


def course_questions(folder, number_of_questions):
    """A topic of exercises of this course."""
    names = exercise_names(EXERCISES)[:number_of_questions]
    assert len(names) == number_of_questions, f"the course has {len(names)} exercises"
    for name in names:
        shutil.copytree(EXERCISES / name, folder / "course" / name.split("/")[1])
    return "course"


class Class:
    """Questions in a scratch folder, and one submission that answers all with the references, for both graders."""

    def __init__(self, questions):
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self.scratch.name)
        self.exercises, self.course = self.folder / "exercises", self.folder / "course"
        self.topic = questions(self.exercises, NUM_QUESTIONS)
        self.notebook = self.course / "submitted" / "student" / self.topic / f"{self.topic}.ipynb"

    def prepare(self):
        """Make nbgrader's course and the submission."""
        from labkit.grading.release import release_course

        release_course(self.course, self.exercises)
        self.nbgrader("generate_assignment", self.topic)
        notebook = nbformat.read(self.course / "release" / self.topic / f"{self.topic}.ipynb", 4)
        for cell in notebook.cells:
            for path in self.exercises.glob("*/*/reference.py"):
                if cell.metadata.nbgrader.grade_id == f"{self.topic}-{path.parent.name}-solution":
                    cell.source = path.read_text()
        self.notebook.parent.mkdir(parents=True)
        nbformat.write(notebook, self.notebook)

    def nbgrader(self, *arguments):
        run("-m", "nbgrader", *arguments, cwd=self.course, home=self.course)

    def autograde(self):
        """nbgrader's side."""
        self.nbgrader("autograde", self.topic, "--create", "--force")

    def grade(self):
        """Our side: everything judged again."""
        out = ["--out", self.folder / "scores.csv", "--json", self.folder / "scores.json"]
        run("-m", "labkit", "grade", self.notebook, *out, "--fresh", "--exercises", self.course / "exercises", cwd=self.folder)

    def check(self):
        """Both give all points."""
        self.prepare()
        self.grade()
        self.autograde()
        self.nbgrader("export", "--to", str(self.folder / "grades.csv"))
        total = json.loads((self.folder / "scores.json").read_text())["totals"][0]
        assert total["points"] == total["max"] > 0, total
        header, line = (text.split(",") for text in (self.folder / "grades.csv").read_text().splitlines())
        assert float(dict(zip(header, line, strict=True))["score"]) == total["points"], line


def peak_bytes(number):
    """The most memory that grading so many submissions took, each with outputs of a megabyte."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        short_questions(folder / "exercises", 1)
        (folder / "in").mkdir()
        output = nbformat.v4.new_output("stream", text="x" * 1_000_000)
        for student in range(number):
            cell = nbformat.v4.new_code_cell(f"def add_0(n):\n    return n - {student}", id="answer", outputs=[output])
            nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "in" / f"s{student}.ipynb")
        printed = run("-c", PEAK, "grade", "in", "--out", "scores.csv", "--exercises", "exercises", cwd=folder)
        rows = (folder / "scores.csv").read_text().splitlines()
        assert len(rows) == number + 1 and sum(",passed," in row for row in rows) == 1, rows[:3]
    return 1024 * int(printed.split("peak")[1].split()[0])


def memory():
    """Peaks with many and with few submissions, in MB."""
    few, many = peak_bytes(FEW), peak_bytes(MANY)
    return Comparison((many / 1e6,), (few / 1e6,))


def benchmarks():
    yield Benchmark(f"check of the slowest exercise, against {CHECK_S:g} s", Goal("<=", 1), functools.partial(slowest, 0, CHECK_S))
    yield Benchmark("... without real ranks, against 1 s", Goal("<=", 1), functools.partial(slowest, 1, SIMULATED_S))
    if importlib.util.find_spec("nbgrader") is None:
        print("nbgrader is not installed: pip install -c constraints.txt -e .[instructor]", file=sys.stderr)
    else:
        for words, questions in (("short questions", short_questions), ("exercises of the course", course_questions)):
            group = Class(questions)
            measure = functools.partial(compare, group.grade, group.autograde, rounds=3, warmup=0)  # check() has warmed up
            yield Benchmark(f"{NUM_QUESTIONS} {words}, against nbgrader", Goal("<=", 0.2), measure, group.check)
    yield Benchmark(f"memory for {MANY} submissions against {FEW}", Goal("<=", 1.1), memory, unit="MB")
