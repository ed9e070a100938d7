"""The source of an answer, taken from cells without running them."""

import subprocess
import sys

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.grading.answers import attempt, cells_of_session, collect, notebook_cells
from labkit.grading.exercise import load_exercise
from tests.grading.conftest import notebook


def run(answer, name="f"):
    """The function that the source of an answer defines."""
    space = {}
    exec(compile(answer.source, "answer", "exec"), space)  # noqa: S102: these sources are the test's own
    return space[name]


def test_only_what_the_function_needs():
    answer = collect([
        "import math\nimport os\nprint('side effect')",
        "unused = 1\nscale, (low, *rest) = 3, (1, 2)\nscale += 4",
        "def helper(x):\n    return math.floor(x) * scale",
        "check('t/e', helper)\nplot(helper)",
        "def f(x):\n    return helper(x) + low",
    ], "f")
    assert answer.problem == ""
    assert run(answer)(2.5) == 2 * 7 + 1
    for absent in ("print", "check", "plot", "unused", "os"):
        assert absent not in answer.source
    assert answer.cells == (1, 2, 3, 5)


def test_the_last_definition_wins_and_is_told():
    answer = collect(["def f():\n    return 1", "def f():\n    return 2"], "f")
    assert run(answer)() == 2 and "return 1" not in answer.source
    assert "defined 2 times (code cells 1, 2); the last one counts" in answer.problem


def test_helpers_are_the_last_ones_too():
    answer = collect(["def g():\n    return 1", "def f():\n    return g()", "def g():\n    return 2"], "f")
    assert run(answer)() == 2 and "return 1" not in answer.source


def test_values_at_the_time_of_a_statement():
    # n is 4 where m is made, and 8 where f is called.
    answer = collect(["n = 4\nm = 2 * n", "n = 8", "def f():\n    return n, m"], "f")
    assert run(answer)() == (8, 8)


def test_what_a_call_at_the_top_needs():
    answer = collect(["k = 3", "def table():\n    return [k] * 2", "t = table()", "k = 5", "def f():\n    return t, k"], "f")
    assert run(answer)() == ([3, 3], 5)


def test_names_of_locals_are_not_taken_for_globals():
    answer = collect(["result = launch_missiles()", "def f():\n    result = 1\n    return [x for x in (result,)]"], "f")
    assert "launch" not in answer.source
    assert run(answer)() == [1]


@pytest.mark.parametrize("before, body, value", [
    ("from math import *", "return floor(2.5)", 2),
    ("import os.path\nimport os", "return os.path.basename('a/b')", "b"),
    ("import xml.dom\nimport xml.sax", "return xml.dom.__name__ + xml.sax.__name__", "xml.domxml.sax"),
    ("t = {}\nt['a'] = 1\nt['b'] = 2", "return t", {"a": 1, "b": 2}),
    ("class P:\n    k = 2\n    def __init__(self):\n        self.v = self.k + w\nw = 5", "return P().v", 7),
    ("try:\n    import nothing_like_this as fast\nexcept ImportError:\n    fast = None", "return fast", None),
    ("if 2 > 1:\n    n = 3\nelse:\n    n = 4", "return n", 3),
    ("a = 1; b = 'é'; print(a); c = 2", "return a, b, c", (1, "é", 2)),
    ("g = lambda x: h(x)\ndef h(x):\n    return x", "return g(4)", 4),
    ("count: int = 3", "return count", 3),
    ("d = 2", "return sum((lambda y=d: y)() for _ in range(d))", 4),
    ("total = 0\ndef add():\n    global total\n    total += 1", "add()\n    return total", 1),
])
def test_kinds_of_definitions(before, body, value):
    assert run(collect([before, f"def f():\n    {body}"], "f"))() == value


def test_statements_that_share_a_line_are_taken_apart():
    shared = "a = 'é'; print(a); b = '''\nx'''; print(b); c = 3"
    answer = collect(["def g():\n    return 1", shared, "def f():\n    return b, c"], "f")
    assert run(answer)() == ("\nx", 3)
    assert "print" not in answer.source and "é" not in answer.source


def test_decorators_and_defaults():
    answer = collect([
        "import functools\nsize = 3",
        "def twice(function):\n    @functools.wraps(function)\n    def inner(*a):\n        return 2 * function(*a)\n    return inner",
        "@twice\n# a comment\n@twice\ndef f(n=size):\n    return n",
        "size = 9",
    ], "f")
    assert run(answer)() == 12
    assert "size = 9" not in answer.source


def test_rebinding_by_assignment():
    answer = collect(["def f():\n    return 1", "def wrap(g):\n    return lambda: g() + 1", "f = wrap(f)"], "f")
    assert run(answer)() == 2
    assert run(collect(["def mine():\n    return 7", "f = mine"], "f"))() == 7


def test_future_imports_come_first():
    answer = collect(["def g():\n    return 0", "from __future__ import annotations", "def f(x: nothing = 0):\n    return g()"], "f")
    assert answer.source.startswith("from __future__")
    assert run(answer)() == 0


def test_magics_are_no_part_of_an_answer():
    answer = collect([
        "%load_ext labkit\n!pip install evil\nfiles = !ls\nimport math\nmath?",
        "%%bash\nf() { rm -rf /; }",
        "%%mpi -n 4\ndef f(x):\n    if x:\n        %time y = 1\n    return f'''\n% {math.floor(x)}\n'''",
    ], "f")
    assert run(answer)(2.5) == "\n% 2\n"
    assert not any(word in answer.source for word in ("pip", "load_ext", "rm -rf", "%time"))


def test_a_text_with_percent_signs_stays():
    assert run(collect(["def f():\n    return '''\n%matplotlib\n!ls\n'''"], "f"))() == "\n%matplotlib\n!ls\n"


def test_a_broken_cell_hides_no_other():
    answer = collect(["def f(:", "for", "def g():\n    return 5", "def f():\n    return g()"], "f")
    assert run(answer)() == 5
    assert "cannot be parsed were left out: 1, 2" in answer.problem


def test_the_broken_cell_of_the_function_is_the_answer():
    text = "import math\n\ndef f(x):\n    return (x"
    answer = collect(["def f():\n    return 1", text], "f")
    assert answer.source == text and answer.cells == (2,)
    with pytest.raises(SyntaxError) as caught:
        compile(answer.source, "answer", "exec")
    assert caught.value.lineno == 4
    assert collect(["    def f(: nested"], "f").source is None


def test_a_renamed_function_is_named():
    answer = collect(["def allreduce_rings(comm):\n    pass", "def scan(comm):\n    pass", "def other(): pass"], "allreduce_ring", others=["scan"])
    assert answer.source is None
    assert answer.problem == "there is no function allreduce_ring; the notebook defines allreduce_rings."
    assert collect(["def one(): pass", "def scan(): pass"], "f", others=["scan"]).problem.endswith("the notebook defines one.")
    assert collect([], "f").problem == "there is no function f."


@pytest.mark.parametrize("hostile", [
    "x = " + "-" * 200_000 + "1", "x = " + "(" * 5000, "a" + ".b" * 100_000, "x = '\0'", "\ud800", "def f(\n" * 3000, "%x\n" * 50_000,
    "x = 1\n" * 60_000, "return 5", "nonlocal x", "def f(x, x): pass", "", "\n\n", "%%", "%% mpi", "\\", "\f", "x = '\\d'",
], ids=range(18))
@pytest.mark.timeout(60)
def test_odd_cells_do_no_harm(hostile):
    assert run(collect([hostile, "def f():\n    return 3"], "f"))() == 3


def test_nothing_is_written_on_stderr():
    program = "from labkit.grading.answers import collect\ncollect(['x = \"\\\\d\"', 'def f():\\n    return x is 1'], 'f')"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_starter_is_no_attempt(course):
    exercise = load_exercise("numbers/square", course)
    starter = exercise.starter
    assert attempt(["import math", starter], exercise).source is None
    assert attempt([starter.replace("raise", "# soon\n    raise")], exercise).problem == "square is as in the starter."
    assert attempt([starter.replace("raise NotImplementedError", "return n * n")], exercise).source is not None


def test_a_session_and_its_file_give_the_same_answer(course, tmp_path):
    """What check takes from the running notebook is what labkit grade takes from the saved one."""
    cells = [
        "import math\n%config Application.verbose_crash = False\nprint('noise')",
        "def helper(n):\n    return math.prod((n, n))",
        "def square(n):\n    return n\n\nsquare(3)",
        "%%capture\ndef square(n):\n    return helper(n)",
        "def broken(:",
        "files = !echo hello\nsquare(2)",
    ]
    path = tmp_path / "numbers.ipynb"
    path.write_text(notebook(*cells))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        for cell in cells:
            shell.run_cell(cell, store_history=True)
        exercise = load_exercise("numbers/square", course)
        live = attempt(cells_of_session(shell.user_ns["square"]), exercise)
    finally:
        InteractiveShell.clear_instance()
    assert live == attempt(notebook_cells(path), exercise)
    assert run(live, "square")(3) == 9
