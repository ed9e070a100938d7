"""Dynamic batching against none: requests a second of one server, 32 clients that wait for their answers, one row a request.

A row through two layers of 4096 is bound by reading 68 MB of weights, which no cache of an ordinary processor holds; a batch
reads them once. Each server is started once and loaded in turn with the others, the model has one thread. litserve batches
too; it is shown beside, where it is installed.
"""

import functools
import importlib.util
import json
import shutil
import tempfile

import numpy as np

from labkit.bench import Benchmark, Goal
from labkit.hardware.timing import Comparison, Contention

NUM_CLIENTS, DURATION_S, NUM_TURNS = 32, 1.2, 5
HIDDEN = (4096, 4096)
MAX_WAIT_S = 0.01


@functools.cache
def run():
    """Requests a second of each server, by turns; its answers to the same rows; and whether others used the machine."""
    from labkit.serving.dedicated import DedicatedServer, LitServeServer
    from labkit.serving.load.generator import run_closed
    from labkit.serving.package import load_package, save_package
    from labkit.training.models.mlp import MLP

    folder = tempfile.mkdtemp(prefix="labkit-bench-")
    package = save_package(f"{folder}/wide", MLP((64, *HIDDEN, 10)), preprocessing={"divide": 16})
    rows = np.random.default_rng(0).integers(0, 17, (64, 64))
    bodies = [json.dumps({"rows": [row.tolist()]}).encode() for row in rows]
    expected = load_package(package).predict(rows)[1]
    servers = {}
    try:
        servers["batched"] = DedicatedServer(package, max_batch=32, max_wait_s=MAX_WAIT_S, progress=None)
        servers["single"] = DedicatedServer(package, max_batch=1, max_wait_s=0, progress=None)
        if has_litserve():
            servers["litserve"] = LitServeServer(package, max_batch=32, max_wait_s=MAX_WAIT_S)
        differences = {name: difference(server.url, bodies, expected) for name, server in servers.items()}
        rates, failures = {name: [] for name in servers}, dict.fromkeys(servers, 0)
        with Contention() as contention:
            for _ in range(NUM_TURNS):
                for name, server in servers.items():
                    result = run_closed(server.url + "/predict", NUM_CLIENTS, DURATION_S, bodies)
                    rates[name].append(float(np.sum(result.status == 200)) / DURATION_S)
                    failures[name] += int(np.sum(result.status != 200))
        sizes = {name: servers[name].metrics()["batch_sizes"] for name in ("batched", "single")}
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return {"rates": rates, "differences": differences, "failures": failures, "sizes": sizes}, contention.busy


def difference(url, bodies, expected):
    """The largest, between probabilities in answers and those of the package; 32 requests are sent at a time."""
    import urllib.request
    from concurrent.futures import ThreadPoolExecutor

    def ask(body):
        with urllib.request.urlopen(urllib.request.Request(url + "/predict", body, {"Content-Type": "application/json"})) as answer:
            return json.load(answer)["probabilities"][0]

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        return float(np.abs(np.array(list(pool.map(ask, bodies))) - expected).max())


def has_litserve():
    return importlib.util.find_spec("litserve") is not None


def check(other):
    found, _ = run()
    for name in ("batched", other):
        assert found["differences"][name] <= 1e-5, f"answers of {name} differ by {found['differences'][name]:.1e}"
        assert not found["failures"][name], f"{found['failures'][name]} requests of {name} got no classes"
    assert set(found["sizes"]["single"]) == {1}, "max_batch=1 computed more than one row"
    assert max(found["sizes"]["batched"]) > 16, "no batch had more than 16 rows"


def rates(other):
    found, busy = run()
    return Comparison(tuple(found["rates"]["batched"]), tuple(found["rates"][other]), busy)


def benchmarks():
    for other, name, goal in (
        ("single", "batches of up to 32, one row at a time", Goal(">=", 2.5)),
        ("litserve", "batches of up to 32, litserve", Goal(">=", 0.8)),
    ):
        if other != "litserve" or has_litserve():
            yield Benchmark(name, goal, functools.partial(rates, other), functools.partial(check, other), unit="1/s")
