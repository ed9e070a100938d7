"""On CI a skip fails the run, unless a GPU is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
GPU = "import pytest\n@pytest.mark.gpu\ndef test_gpu():\n    pytest.skip('no GPU')\n"
FUNCTION = "import pytest\ndef test_one():\n    pytest.skip('a whim')\n"
MODULE = "import pytest\npytest.importorskip('no_such_module')\ndef test_one():\n    pass\n"
DOCTEST = '"""\n>>> 1 + 1  # doctest: +SKIP\n3\n"""\n'
PASSES = "def test_passes():\n    pass\n"
XFAIL = "import pytest\n@pytest.mark.xfail\ndef test_one():\n    assert False\n"


@pytest.mark.parametrize(
    ("package", "test", "ci", "code"),
    [
        (PASSES, GPU, "true", 0),
        (PASSES, XFAIL, "true", 0),
        (PASSES, FUNCTION, "true", 1),
        (PASSES, FUNCTION, "", 0),
        (PASSES, MODULE, "true", 1),
        (DOCTEST, PASSES, "true", 1),
        (DOCTEST, PASSES, "", 0),
        ("", "", "true", 5),  # no tests at all
    ],
)
def test_skips(tmp_path, package, test, ci, code):
    (tmp_path / "package").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "package" / "test_code.py").write_text(package)
    (tmp_path / "tests" / "test_it.py").write_text(test)
    shutil.copy(CONFTEST, tmp_path / "tests")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ntestpaths = package tests\naddopts = --doctest-modules\nmarkers = gpu: x\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True,
        text=True, env=os.environ | {"CI": ci},
    )
    assert done.returncode == code, done.stdout
    assert ("On CI nothing but GPU tests may be skipped" in done.stdout) == (code == 1)
