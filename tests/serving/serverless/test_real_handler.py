"""The handler that is deployed to AWS, with a real model, in the local Lambda."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

HANDLER = Path(__file__).parents[3] / "labkit/serving/serverless/handler/lambda_function.py"


@pytest.fixture(scope="module")
def digits(tools, tmp_path_factory):
    """The function, and the network that was packed for it."""
    from labkit.serving.package import classifier, save_package
    from labkit.softmax.calibration.network import Network

    folder = tmp_path_factory.mktemp("digits")
    shutil.copy(HANDLER, folder)
    shutil.copy(classifier.__file__, folder)
    network = Network.random(64, 32, 10)
    package = save_package(folder / "digits", network, preprocessing={"divide": 16})
    with tools.start(folder, memory_mb=256) as function:
        yield function, network, package.checksum


def test_answers_are_those_of_the_network(tools, digits):
    function, network, checksum = digits
    for num_rows in (1, 256):
        rows = np.random.default_rng(num_rows).integers(0, 17, (num_rows, 64)).astype(float)
        exponentials = np.exp(network.logits(rows / 16))
        right = exponentials / exponentials.sum(axis=1, keepdims=True)
        body = json.dumps({"rows": rows.tolist()}).encode()
        status, _, content = tools.post(function.url, body, path="/predict")
        assert status == 200
        for answer in (json.loads(content), function.invoke({"rows": rows.tolist()}).payload):
            np.testing.assert_allclose(answer["probabilities"], right, atol=1e-5)
            assert answer["classes"] == np.argmax(answer["probabilities"], axis=1).tolist()
            assert answer["model"] == checksum[:12]
    assert len(set(answer["classes"])) >= 3
    cold = function.records[0]
    assert cold.is_cold and all(cold.phases_s[name] > 0 for name in ("process", "imports", "model", "first_call"))
    assert cold.phases_s["imports"] > cold.phases_s["model"]  # NumPy takes longer than a small file


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"rows": [[', 400),
        (b"\xff\xfe", 400),
        (b"", 400),
        (b"[]", 422),
        (b'{"rows": [[1, 2]]}', 422),
        (json.dumps({"rows": [[float("nan")] * 64]}).encode(), 422),
        (json.dumps({"rows": [[1e39] * 64]}).encode(), 422),
        (json.dumps({"rows": [[0] * 64] * 257}).encode(), 422),
        (b"x" * 6_291_457, 413),
    ],
)
def test_bad_requests_get_the_stated_status(tools, digits, body, status):
    function = digits[0]
    got = tools.post(function.url, body)
    assert got[0] == status and len(json.loads(got[2])["error"]) > 20
