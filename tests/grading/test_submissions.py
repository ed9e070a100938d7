"""Whose a file is, and what it answers."""

import pytest

from labkit.errors import UsageError
from labkit.grading.submissions import Submission, find_submissions, topics_of

TOPICS = ("collectives", "point_to_point")
FUNCTIONS = {"collectives": ["scan", "allreduce"], "point_to_point": ["ring"]}


def lay(tmp_path, *names):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def students(arguments):
    return [(s.student, s.path.name) for s in find_submissions([str(a) for a in arguments], TOPICS)]


@pytest.mark.parametrize("name, student", [
    ("jane.ipynb", "jane"), ("collectives_jane.ipynb", "jane"), ("Jane Doe - Point to Point.ipynb", "Jane Doe"),
    ("jane-collectives (1).ipynb", "jane"), ("jane-Copy1.ipynb", "jane"), ("sub/collectives.ipynb", "sub"),
    ("hand/in/x.ipynb", "hand"), ("submitted/jd12/collectives/x.ipynb", "jd12"),
    ("all/Jane Doe_1234567_assignsubmission_file_/x.ipynb", "Jane Doe"),
    ("Jane Doe_1234567_assignsubmission_file/deep/x.ipynb", "Jane Doe"),
])
def test_students_in_a_folder(tmp_path, name, student):
    lay(tmp_path, f"subs/{name}")
    assert [found for found, _ in students([tmp_path / "subs"])] == [student]


def test_patterns_files_and_folders_name_each_file_once(tmp_path):
    lay(tmp_path, "a/collectives.ipynb", "b/collectives.ipynb", "c.ipynb", "c.txt", "d.py")
    expected = [("a", "collectives.ipynb"), ("b", "collectives.ipynb"), ("c", "c.ipynb")]
    assert students([tmp_path / "*" / "*.ipynb", tmp_path / "c.ipynb", tmp_path]) == expected
    assert students([tmp_path / "**" / "collectives.ipynb"]) == expected[:2]
    assert students([tmp_path / "[ab]"]) == expected[:2]  # folders, as a shell would have named them
    assert students([tmp_path / "d.py"]) == [("d", "d.py")]


def test_what_is_left_out(tmp_path):
    lay(tmp_path, ".ipynb_checkpoints/x-checkpoint.ipynb", "__MACOSX/a/._x.ipynb", "a/._x.ipynb", "a/.hidden/x.ipynb", "a/x.ipynb")
    assert students([tmp_path]) == [("a", "x.ipynb")]


def test_two_students_of_one_name(tmp_path):
    lay(tmp_path, "Jo Li_11_assignsubmission_file_/x.ipynb", "Jo Li_22_assignsubmission_file_/x.ipynb", "Al_3_assignsubmission_file_/y.ipynb")
    assert [student for student, _ in students([tmp_path])] == ["Al", "Jo Li (11)", "Jo Li (22)"]


@pytest.mark.parametrize("argument", ["nothing", "no*thing", "empty"])
def test_nothing_there(tmp_path, argument):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"there (is|are) no"):
        find_submissions([str(tmp_path / argument)])


@pytest.mark.parametrize("path, assignment, cells, expected", [
    ("s/x.ipynb", "collectives", [], ["collectives"]),
    ("s/my Point-to-Point.ipynb", "", [], ["point_to_point"]),
    ("collectives/x.ipynb", "", [], ["collectives"]),
    ("s/x.ipynb", "", ["check('point_to_point/ring', ring)"], ["point_to_point"]),
    ("s/x.ipynb", "", ["  def ring(comm):", "def scan(comm):"], ["collectives", "point_to_point"]),
    ("s/x.ipynb", "", ["x = 1"], []),
])
def test_topics(tmp_path, path, assignment, cells, expected):
    assert topics_of(Submission(tmp_path / path, "s", assignment), cells, FUNCTIONS) == expected
