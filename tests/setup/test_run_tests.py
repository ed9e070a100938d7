"""The suite in parts: what fails beside others runs once more alone, and a real failure fails the run."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
CONFTEST = Path(__file__).parents[1] / "conftest.py"
PASSES = "def test_passes():\n    pass\n"
FAILS = "def test_fails():\n    total = 2 + 2\n    assert total == 5, 'arithmetic has moved'\n"
# The first time it fails, the second time it passes.
ONCE = (
    "import pathlib\nfirst_time = not pathlib.Path('seen').exists()\npathlib.Path('seen').touch()\n"
    "def test_of_time():\n    assert not first_time, 'the machine was busy'\n"
)
HANGS_ONCE = (
    "import pathlib, time, pytest\n"
    "@pytest.mark.timeout(1)\ndef test_that_waits():\n"
    "    if not pathlib.Path('again').exists():\n        pathlib.Path('again').touch()\n        time.sleep(1000)\n"
    "def test_behind():\n    pass\n"
)
HANGS = (
    "import time, pytest\n@pytest.mark.timeout(1)\ndef test_that_waits():\n    time.sleep(1000)\n"
    "def test_behind():\n    assert False, 'behind it'\n"
)
MANY = "import pytest\n@pytest.mark.parametrize('k', range(51))\ndef test_many(k):\n    assert k < 0\n"
TEARDOWN = (
    "import pytest\n@pytest.fixture\ndef thing():\n    yield 1\n    assert False, 'left over'\n"
    "def test_passes_but(thing):\n    pass\n"
)
NO_IMPORT = "import no_such_module_at_all\n"
SKIPS = "import pytest\ndef test_one():\n    pytest.skip('a whim')\n"


@pytest.fixture
def suite(tmp_path, monkeypatch, capfd):
    """``suite({name: source})``: run these files, each a part; gives (exit status, the summary)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("run_tests", TOOLS / "run_tests.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = tests\naddopts = --doctest-modules\ntimeout_method = thread\nmarkers = gpu: x\n"
    )
    (tmp_path / "tests").mkdir()
    shutil.copy(CONFTEST, tmp_path / "tests")
    (tmp_path / "tests" / "test_rest.py").write_text(PASSES)
    monkeypatch.delenv("CI", raising=False)

    def run(files):
        for name, source in files.items():
            (tmp_path / "tests" / f"test_{name}.py").write_text(source)
        monkeypatch.setattr(module, "PARTS", [[f"tests/test_{name}.py"] for name in files])
        status = module.run([])
        said = capfd.readouterr().out
        return status, said[said.index("= all parts =") :]

    return run


def test_all_is_well(suite):
    status, said = suite({"one": PASSES, "two": PASSES + SKIPS})
    assert status == 0 and "alone" not in said and "FAILED" not in said
    found = re.findall(r"(\w+) +\d+ s +(\d) +(\d) +(\d)  (.*)", said)
    assert sorted(found) == [
        ("ok", "1", "0", "0", "all other tests"), ("ok", "1", "0", "0", "tests/test_one.py"),
        ("ok", "1", "0", "1", "tests/test_two.py"),
    ]


def test_what_fails_beside_others_and_passes_alone_is_listed(suite):
    """Also where pytest-timeout has ended the whole process: what is behind that test runs, too."""
    status, said = suite({"once": ONCE, "hangs": HANGS_ONCE})
    assert status == 0, said
    assert "2 tests failed beside others and passed alone:\nFAILED tests/test_" in said
    assert "FAILED tests/test_once.py::test_of_time" in said and "FAILED tests/test_hangs.py::test_that_waits" in said
    assert "the machine was busy" in said and "tests failed." not in said
    assert re.search(r"ended +\d+ s +0 +1 +0  tests/test_hangs.py", said)
    assert re.search(r"ok +\d+ s +3 +0 +0  alone", said)


def test_real_failures_fail_the_run_and_are_told_last(suite):
    """In a test, after it, at the import, and in a test that hangs alone, too."""
    status, said = suite({"wrong": FAILS + TEARDOWN, "no_import": NO_IMPORT, "hangs": HANGS, "once": ONCE})
    assert status == 1 and said.endswith("\n5 tests failed.\n")
    assert "1 tests failed beside others and passed alone:\nFAILED tests/test_once.py::test_of_time" in said
    told = said[said.index("FAILED ", said.index("the machine was busy")) :].split("FAILED ")[1:]
    found = {one.split("\n")[0]: one for one in told}
    assert len(told) == len(found) == 5
    assert "AssertionError: arithmetic has moved" in found["tests/test_wrong.py::test_fails"]
    assert "assert 4 == 5" in found["tests/test_wrong.py::test_fails"]
    assert "in teardown:" in (words := found["tests/test_wrong.py::test_passes_but"]) and "left over" in words
    assert "No module named" in found["tests/test_no_import.py"]
    assert "the run ended in this test" in found["tests/test_hangs.py::test_that_waits"]
    assert "behind it" in found["tests/test_hangs.py::test_behind"]


def test_many_failures_do_not_run_again(suite):
    status, said = suite({"many": MANY})
    assert status == 1 and "51 tests failed, more than 50: that is a defect, so none runs again alone." in said
    assert said.count("FAILED tests/test_many.py::test_many[") == 51


def test_what_no_test_explains_fails_the_run(suite, monkeypatch):
    """Skips that are refused on CI; a part without tests; also beside a test that passes alone."""
    monkeypatch.setenv("CI", "true")
    status, said = suite({"skips": SKIPS, "once": ONCE, "empty": ""})
    assert status == 1
    assert "tests/test_skips.py: skips that are not allowed on CI: tests/test_skips.py::test_one: Skipped: a whim" in said
    assert "tests/test_empty.py: exit status 5" in said and "1 tests failed beside others and passed alone" in said
