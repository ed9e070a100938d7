"""The model beside a real function on this machine: its arrivals are given to both."""

import sys

import pytest

from labkit.serving.cost.calibrate import measure_function, predict
from labkit.serving.load.arrivals import poisson
from labkit.serving.load.generator import run_load
from labkit.serving.serverless import FunctionSettings, LocalLambda

HANDLER = """
import time

def handler(event, context):
    time.sleep(0.1)
    return {}
"""
KEEP_ALIVE_S = 0.6


@pytest.mark.skipif(sys.platform != "linux", reason="the local Lambda needs Linux")
def test_cold_share_and_latency_of_a_real_function(tmp_path):
    (tmp_path / "lambda_function.py").write_text(HANDLER)
    settings = FunctionSettings(tmp_path, keep_alive_s=KEEP_ALIVE_S, timeout_s=20, init_timeout_s=60)
    with LocalLambda(settings) as function:
        found = run_load(function.url, poisson(4, 12, seed=3), [{}])
        records = function.records
    model = measure_function(records).function(keep_alive_s=KEEP_ALIVE_S)
    compared = predict(found, model, records=records)
    assert found.num_ok == len(found) == len(records)
    # Not the trivial cases: most requests are warm, and some are cold because nobody came, or because several did.
    assert 0.05 < compared["cold share"].measured < 0.7
    assert abs(compared["cold share"].predicted - compared["cold share"].measured) < 0.15, str(compared)
    assert 0.5 < compared["mean, s"].ratio < 2, str(compared)
