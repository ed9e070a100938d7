"""Exercises of softmax: other right answers pass as well, and what the statements claim is so."""

from pathlib import Path

import numpy as np
import pytest

from labkit.grading.exercise import load_exercise
from labkit.grading.judge import judge
from labkit.grading.outcomes import Status
from labkit.grading.remote.sandboxed import Zygote

FOLDER = Path(__file__).parents[2] / "exercises"
HEAD = "import math\nimport numpy as np\nfrom mpi4py import MPI\nnp.seterr(all='ignore')\n"
ANSWERS = {
    "shifted_softmax: by the logarithm of the sum": """
def softmax(x):
    wide = x.astype(np.promote_types(x.dtype, np.float32))
    m = wide.max(axis=1, initial=-np.inf)[:, None]
    total = np.log(np.exp(wide - m).sum(axis=1)[:, None])
    return np.exp(wide - m - total).astype(x.dtype)
""",
    "shifted_softmax: row by row, in float64": """
def softmax(x):
    out = np.empty_like(x)
    for i, row in enumerate(x.astype(np.float64)):
        if row.size:
            e = np.exp(row - max(row) if not np.isnan(row).any() else row * np.nan)
            out[i] = e / sum(e)
    return out
""",
    "log_softmax: the sum of the others and log1p": """
def log_softmax(x):
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    out = np.empty_like(x)
    for i, row in enumerate(wide):
        k = np.argmax(row)
        shifted = row - row[k]
        out[i] = shifted - np.log1p(np.exp(np.delete(shifted, k)).sum() + 0 * shifted[k])
    return out
""",
    "merge_states: loops over numbers": """
def merge_states(m1, d1, m2, d2):
    found = []
    for a, da, b, db in zip(m1, d1, m2, d2):
        if a == -np.inf and da == 0:
            found.append((b, db if b != np.inf else np.nan))
        elif b == -np.inf and db == 0:
            found.append((a, da if a != np.inf else np.nan))
        else:
            m = a if np.isnan(a) or a > b else b
            found.append((m, da * np.exp(a - m) + db * np.exp(b - m)))
    return np.array([m for m, _ in found]), np.array([d if m == m else np.nan for m, d in found])
""",
    "online_softmax: Python's numbers": """
def online_softmax(x, out):
    m, d, odd = -math.inf, 0.0, False
    for value in map(float, x):
        if math.isnan(value) or value == math.inf:
            odd = True
        elif value > m:
            d, m = d * math.exp(m - value) + 1.0, value
        elif value > -math.inf:
            d += math.exp(value - m)
    for i in range(len(x)):
        out[i] = math.nan if odd or d == 0 else math.exp(float(x[i]) - m) / d
""",
    "cross_entropy_gradient: a matrix of targets": """
def cross_entropy_gradient(x, targets, label_smoothing):
    n, c = x.shape
    t = (1 - label_smoothing) * np.eye(c)[targets] + label_smoothing / c
    x = x - x.max(axis=1)[:, None]
    return (np.exp(x - np.log(np.exp(x).sum(1))[:, None]) - t) / (n or 1)
""",
    "streaming_attention: in arrays of its own, blocks of 100": """
def attention(q, k, v):
    n, w = len(q), v.shape[1]
    m = np.full_like(q, -np.inf, shape=n)
    d, total = np.zeros_like(q, shape=n), np.zeros_like(q, shape=(n, w))
    for start in range(0, len(k), 100):
        x = np.einsum("ia,ja->ij", q, k[start : start + 100]) / math.sqrt(q.shape[1])
        old = m.copy()
        np.maximum(m, x.max(axis=1), out=m)
        e = np.exp(x - m[:, None])
        d *= np.exp(old - m)
        d += e.sum(axis=1)
        total *= np.exp(old - m)[:, None]
        total += e @ v[start : start + 100]
    total /= d[:, None]
    return total
""",
    "vocabulary_parallel: two all-reduces, in place": """
def parallel_cross_entropy(comm, x, targets, first):
    n = len(x)
    m = x.max(axis=1, initial=-np.inf)
    comm.Allreduce(MPI.IN_PLACE, m, op=MPI.MAX)
    e = np.exp(x - m[:, None])
    mine = np.arange(first, first + x.shape[1])[None, :] == targets[:, None]
    both = np.stack([e.sum(axis=1), np.where(mine, x - m[:, None], 0.0).sum(axis=1)])
    comm.Allreduce(MPI.IN_PLACE, both, op=MPI.SUM)
    return np.log(both[0]) - both[1], (e / both[0][:, None] - mine) / n
""",
}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as started:
        yield started


@pytest.mark.mpi
@pytest.mark.parametrize("name", ANSWERS)
def test_other_right_answers_pass(name, zygote):
    verdict = judge(load_exercise(f"softmax/{name.partition(':')[0]}", FOLDER), HEAD + ANSWERS[name], zygote=zygote)
    assert verdict.passed, verdict.text()


def test_passes_of_the_first_statement_are_so(zygote):
    """Maximum, sum and result one after the other: four accesses an element, where three are enough."""
    exercise = load_exercise("softmax/online_softmax", FOLDER)
    answer = (exercise.folder / "wrong" / "three_passes_over_x.py").read_text(encoding="utf-8")
    verdict = judge(exercise, answer, zygote=zygote)
    assert verdict.status is Status.OVER_BUDGET and "read and wrote 4.0 times the array" in verdict.message


def test_the_matrix_of_the_large_cases_needs_more_than_there_is():
    exercise = load_exercise("softmax/streaming_attention", FOLDER)
    products = [len(case.arguments[0][0]) * len(case.arguments[0][1]) for case in exercise.all_cases()]
    assert sum(8 * product > exercise.memory_bytes for product in products) == 2


@pytest.mark.parametrize("name", ["shifted_softmax", "log_softmax", "online_softmax"])
def test_the_room_agrees_with_what_is_expected(name):
    """The introduction states the same results for odd rows as ``labkit.softmax`` does."""
    from labkit.softmax.ladder import softmax

    for case in load_exercise(f"softmax/{name}", FOLDER).all_cases():
        x, expected = np.atleast_2d(case.arguments[0][0]), case.expected
        if not expected or x.shape[0] * x.shape[1] > 10_000 or not x.flags.c_contiguous:
            continue
        wanted = np.atleast_2d(expected[0][1 if name == "online_softmax" else "return"])
        found = softmax(x, version="log" if name == "log_softmax" else "shifted")
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted), err_msg=case.label)
        np.testing.assert_allclose(found, wanted, rtol=case.rtol, atol=case.atol, err_msg=case.label)
