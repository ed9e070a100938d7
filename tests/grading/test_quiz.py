"""Questions: judging an answer, and files that are read or refused with a reason."""

import itertools

import pytest

from labkit.errors import UsageError
from labkit.grading import progress
from labkit.grading.cards import read_flashcards
from labkit.grading.outcomes import Status
from labkit.grading.quiz import Choice, Number, Order, Quiz, judge_answer
from labkit.grading.quiz_file import load_quiz, read_quiz
from labkit.grading.quiz_run import QuizRun

CHOICE = Choice("c", "Which?", "yes", "It is.", (("no", "It is not."), ("perhaps", "It is certain.")), lesson="x")
NUMBER = Number(
    "n", "How many?", 102.0, "100 + 2.", ((100.0, "And alpha?"),), "Add up.", unit="us", relative_tolerance=0.005
)
ORDER = Order("o", "Sort.", ("a", "b", "c", "d"), "That is it.", ("a<b", "b<c", "c<d"), lesson="x")


@pytest.fixture(autouse=True)
def own_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "progress.json"))


# -- judging ----------------------------------------------------------------------------------------


def test_choices_have_one_right_place_and_their_explanations():
    assert sorted(CHOICE.choices) == ["no", "perhaps", "yes"]
    told = {text: judge_answer(CHOICE, place) for place, text in enumerate(CHOICE.choices)}
    assert told["yes"].status is Status.PASSED and told["yes"].points == 1 and told["yes"].explanation == "It is."
    assert told["no"].status is Status.INCORRECT and told["no"].points == 0 and told["no"].explanation == "It is not."
    assert told["perhaps"].explanation == "It is certain."
    letter = "abc"[CHOICE.choices.index("yes")]
    assert judge_answer(CHOICE, letter).passed and judge_answer(CHOICE, letter.upper()).passed
    for strange in (3, -1, True, "d", "yes", 1.0, [0]):
        assert judge_answer(CHOICE, strange).status is Status.NOT_ATTEMPTED, strange


def test_the_order_of_choices_is_fixed_and_hides_the_right_one():
    again = Choice("c", "Which?", "yes", "", CHOICE.wrong[::-1], lesson="x")
    assert again.choices == CHOICE.choices  # whatever the order in the file
    assert CHOICE.choices == ("yes", "perhaps", "no")  # on any machine and in any process
    other = [Choice(f"c{k}", "", "yes", "", CHOICE.wrong, lesson="x").choices.index("yes") for k in range(60)]
    assert {other.count(place) > 8 for place in range(3)} == {True}


def test_a_number_is_right_within_its_tolerance():
    edge = 102 * 0.005
    for value in (102, "102", "102 us", 102 + 0.99 * edge, 102 - 0.99 * edge):
        assert judge_answer(NUMBER, value).passed, value
    for value in (102 + 1.01 * edge, 102 - 1.01 * edge, -102, float("nan"), float("inf")):
        assert judge_answer(NUMBER, value).explanation == "Add up.", value
    assert judge_answer(NUMBER, "100.1").explanation == "And alpha?"
    near_zero = Number("z", "", 0.0, "", (), "hint", absolute_tolerance=0.1)
    assert judge_answer(near_zero, 0.1).passed and not judge_answer(near_zero, 0.11).passed
    for nothing in (None, "", "  "):
        found = judge_answer(NUMBER, nothing, num_wrong=2)
        assert found.status is Status.NOT_ATTEMPTED and found.num_wrong == 2
    assert judge_answer(NUMBER, [1]).status is Status.NOT_ATTEMPTED


def test_every_wrong_order_is_explained_by_a_pair_that_is_the_wrong_way_round():
    assert ORDER.shown != ORDER.steps
    for steps in itertools.permutations(ORDER.steps):
        found = judge_answer(ORDER, [ORDER.shown.index(step) for step in steps])
        assert found.passed == (steps == ORDER.steps)
        if not found.passed:
            one, other = found.explanation.split("<")
            assert steps.index(one) > steps.index(other)
    right = " ".join("abcd"[ORDER.shown.index(step)] for step in ORDER.steps)
    assert judge_answer(ORDER, right).passed
    for bad in ([0, 1, 2], [0, 0, 1, 2], [0, 1, 2, 4], "a b", "a a b c", [0, 1, 2, None]):
        assert judge_answer(ORDER, bad).status is Status.NOT_ATTEMPTED, bad


def test_every_wrong_answer_halves_the_points_and_repeating_one_does_not():
    run = QuizRun(Quiz("00_start_here", "x", (CHOICE, NUMBER)))
    assert run.verdict().status is Status.NOT_ATTEMPTED
    right, one, two = (CHOICE.choices.index(text) for text in ("yes", "no", "perhaps"))
    for given_, wrong in ((one, 1), (one, 1), ("z", 1), (two, 2)):
        assert run.answer(0, given_).num_wrong == wrong
    assert run.answer(0, right).points == 0.25
    assert run.answer(0, one).passed  # what is right stays right
    assert run.verdict().status is Status.INCORRECT and run.verdict().points == 0.25
    run.answer(1, "102")
    verdict = run.verdict()
    assert (verdict.exercise, verdict.status) == ("00_start_here/quiz", Status.PASSED)
    assert (verdict.points, verdict.max_points) == (1.25, 2)

    # The best of all passes is kept.
    run.restart()
    assert run.points == 0 and run.best_points == 1.25
    run.answer(0, right)
    assert run.points == 1 and run.best_points == 2
    assert progress.read_progress().quiz_points("00_start_here") == {"c": 1, "n": 1}


# -- files ------------------------------------------------------------------------------------------

GOOD = {
    "choice": '[[question]]\nkind="choice"\nname="a"\ntext="t"\nright="r"\nexplanation="e"\n'
    'wrong=[{text="w", why="y"}]\n',
    "number": '[[question]]\nkind="number"\nname="b"\ntext="t"\nanswer=2\nexplanation="e"\nhint="h"\n'
    'wrong=[{value=3, why="y"}]\n',
    "order": '[[question]]\nkind="order"\nname="c"\ntext="t"\nexplanation="e"\n'
    'steps=[{text="1",why="y"},{text="2",why="y"},{text="3"}]\n',
}


def read(tmp_path, text):
    path = tmp_path / "quiz.toml"
    path.write_text(text)
    return read_quiz(path, "x", "X")


def test_a_file_of_each_kind_is_read(tmp_path):
    quiz = read(tmp_path, "".join(GOOD.values()))
    assert [question.kind for question in quiz.questions] == ["choice", "number", "order"]
    assert quiz.max_points == 3
    assert read(tmp_path, GOOD["number"] + "points=2\n").max_points == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "list of tables"),
        ("question = 3", "list of tables"),
        ("[[question", "cannot be read"),
        ('[[question]]\nkind="essay"', "'essay' is none of choice, number, order"),
        (GOOD["choice"].replace('right="r"\n', ""), "right is missing"),
        (GOOD["choice"] + 'unit="us"\n', "unit is unknown"),
        (GOOD["choice"].replace('explanation="e"', 'explanation=" "'), "must be text, and not empty"),
        (GOOD["choice"].replace('text="w"', 'text="r"'), "the choices must differ"),
        (GOOD["choice"].replace(', why="y"', ""), "wrong choice 1: why is missing"),
        (GOOD["choice"] + "points=0\n", "must be positive"),
        (GOOD["choice"] + GOOD["choice"], "comes twice"),
        (GOOD["number"].replace("answer=2", 'answer="2"'), "answer = '2' must be a number"),
        (GOOD["number"].replace("answer=2", "answer=nan"), "must be a number"),
        (GOOD["number"] + "relative_tolerance=-1\n", "must not be negative"),
        (GOOD["number"] + "absolute_tolerance=1.5\n", "the wrong value 3 is right within the tolerance"),
        (GOOD["order"].replace('{text="1",why="y"},', ""), "2 steps are too few"),
        (GOOD["order"].replace('{text="1",why="y"}', '{text="1"}'), "step 1: why is missing"),
        (GOOD["order"].replace('text="2"', 'text="1"'), "the steps must differ"),
    ],
)
def test_a_broken_rule_is_named(tmp_path, text, words):
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value) and "quiz.toml" in str(caught.value)


def test_missing_lessons_and_files_are_named(tmp_path):
    with pytest.raises(UsageError, match="the lessons are 00_start_here"):
        load_quiz("4")
    with pytest.raises(UsageError, match="cannot be read"):
        read_quiz(tmp_path / "none.toml", "x", "X")
    path = tmp_path / "cards.toml"
    path.write_text('[[card]]\nterm="a"\nmeaning="b"\n[[card]]\nterm="a"\nmeaning="c"\n')
    with pytest.raises(UsageError, match="a has two"):
        read_flashcards(path)
    path.write_text('[[card]]\nterm="a"\n')
    with pytest.raises(UsageError, match="card 1: meaning is missing"):
        read_flashcards(path)
