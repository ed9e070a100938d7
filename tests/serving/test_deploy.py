"""The zip file for AWS: what is in it answers alone, in a Python without labkit and without this environment's packages."""

import base64
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from labkit.errors import NotAvailableError, UsageError
from labkit.serving.package import PackageError, load_package, save_package
from labkit.serving.serverless import deploy
from labkit.softmax.calibration.network import Network

ROWS = np.random.default_rng(0).integers(0, 17, (3, 64)).tolist()
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import lambda_function as function
events = json.load(sys.stdin)
answers = [function.handler(event, None) for event in events]
print(json.dumps({"answers": answers, "numpy": function.rules.np.__file__, "phases": function.PHASES_S,
                  "labkit": "labkit" in sys.modules}))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    return save_package(folder / "m", Network.random(64, 16, 10), preprocessing={"divide": 16})


def http(body, *, method="POST", **more):
    return {"version": "2.0", "requestContext": {"http": {"method": method, "path": "/"}}, "body": body, **more}


def run(folder, events, *options, **environment):
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, str(folder)], input=json.dumps(events), capture_output=True, text=True,
        cwd=folder, env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_zip_answers_alone(package, tmp_path):
    made = deploy.make_zip(tmp_path / "function.zip", package, with_numpy=True)
    assert made.num_bytes == made.path.stat().st_size < deploy.MAX_ZIPPED_BYTES
    folder = tmp_path / "task"
    with zipfile.ZipFile(made.path) as archive:
        names = archive.namelist()
        assert sum(info.file_size for info in archive.infolist()) == made.unzipped_bytes < deploy.MAX_UNZIPPED_BYTES
        assert all(info.external_attr >> 16 & 0o444 == 0o444 for info in archive.infolist())
        archive.extractall(folder)
    assert {"lambda_function.py", "classifier.py", "m.labkit-model", "numpy/__init__.py"} <= set(names)
    assert not any("/tests/" in name or name.endswith(".pyc") or name.startswith("labkit/") for name in names)
    body = json.dumps({"rows": ROWS})
    events = [
        {"rows": ROWS}, http(body), http(base64.b64encode(body.encode()).decode(), isBase64Encoded=True),
        {"rows": [[1]]}, http("{"), http(None), http(json.dumps({"rows": [["x"] * 64]})), http(body, method="GET"),
        http("%%%", isBase64Encoded=True), [1], {"rows": [[float("nan")] * 64]},
    ]  # fmt: skip
    found = run(folder, events, "-S")  # no site-packages
    assert found["numpy"].startswith(str(folder)) and not found["labkit"] and set(found["phases"]) == {"imports", "model"}
    plain, first, second, *others = found["answers"]
    model = load_package(package)
    classes, probabilities = model.predict(ROWS)
    assert plain["classes"] == classes.tolist() and plain["model"] == model.checksum[:12]
    np.testing.assert_allclose(plain["probabilities"], probabilities, atol=1e-6)
    assert first["statusCode"] == 200 and json.loads(first["body"]) == plain and second == first
    assert first["headers"]["content-type"] == "application/json"
    assert others[0]["status"] == 422 and "takes 64" in others[0]["error"]
    assert [answer["statusCode"] for answer in others[1:6]] == [400, 400, 422, 405, 400]
    assert all(json.loads(answer["body"])["error"].endswith(".") for answer in others[1:6])
    assert others[4]["headers"]["allow"] == "POST" and others[6]["status"] == others[7]["status"] == 422


def test_a_folder_is_that_of_the_local_lambda(package, tmp_path):
    folder = deploy.make_folder(tmp_path / "function", package)
    assert {path.name for path in folder.iterdir()} == {"lambda_function.py", "classifier.py", "m.labkit-model"}
    other = save_package(tmp_path / "other", Network.random(64, 4, 10))
    assert deploy.make_folder(folder, other) == folder and deploy.make_folder(folder, folder / "other.labkit-model") == folder
    assert [path.name for path in folder.glob("*.labkit-model")] == ["other.labkit-model"]
    for path, expected in ((package.path, package), (folder / "other.labkit-model", other)):
        found = run(folder, [{"rows": ROWS}], MODEL_PACKAGE=str(path))
        assert found["answers"][0]["model"] == expected.checksum[:12]
    (folder / "third.labkit-model").write_bytes(package.path.read_bytes())
    done = subprocess.run([sys.executable, "-c", "import lambda_function"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1 and "there are 2: put one there, or set MODEL_PACKAGE" in done.stderr


def test_limits_of_size(package, tmp_path, monkeypatch):
    assert (deploy.MAX_ZIPPED_BYTES, deploy.MAX_UNZIPPED_BYTES) == (52_428_800, 262_144_000)
    large = save_package(tmp_path / "large", Network.random(64, 8_000, 10))  # 2.4 MB that hardly compress
    monkeypatch.setattr(deploy, "MAX_ZIPPED_BYTES", 1 << 20)
    with pytest.raises(UsageError, match=r"at most 1 MiB zipped.*2\.\d MiB.*container image"):
        deploy.make_zip(tmp_path / "f.zip", large)
    monkeypatch.setattr(deploy, "MAX_UNZIPPED_BYTES", 10_000)
    with pytest.raises(UsageError, match="unzipped"):
        deploy.make_zip(tmp_path / "f.zip", package)
    assert [path.name for path in tmp_path.iterdir()] == ["large.labkit-model"]


def test_what_cannot_be_deployed(package, tmp_path, monkeypatch, capsys):
    with pytest.raises(PackageError, match="there is no model package"):
        deploy.make_zip(tmp_path / "f.zip", tmp_path / "nothing")
    assert deploy.main([str(tmp_path / "nothing"), str(tmp_path / "f.zip")]) == 2
    assert "error: there is no model package" in capsys.readouterr().err
    assert deploy.main([str(package.path), str(tmp_path / "f.zip")]) == 0
    assert "without NumPy: add a layer" in capsys.readouterr().out
    first = (tmp_path / "f.zip").read_bytes()
    deploy.make_zip(tmp_path / "g.zip", package)
    assert (tmp_path / "g.zip").read_bytes() == first
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotAvailableError, match="AWS Lambda runs Linux"):
        deploy.make_zip(tmp_path / "f.zip", package, with_numpy=True)
