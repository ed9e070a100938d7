"""Requests and answers: rules with their limits, and probabilities against NumPy and torch in float64."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.serving.package.classifier import Classifier, RequestError, answer, parse_request


def body(rows):
    return json.dumps({"rows": rows}).encode()


def make(sizes=(5, 7, 3), *, seed=0, scale=1.0, **options):
    rng = np.random.default_rng(seed)
    layers = [
        ((scale * rng.standard_normal((n, m))).astype(np.float32), rng.standard_normal(m).astype(np.float32))
        for n, m in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    options = {"subtract": np.float32(0), "divide": np.float32(1), **options}
    return Classifier(layers, [str(k) for k in range(sizes[-1])], checksum="0123456789abcdef", **options)


def reference(classifier, rows):
    """The definition, in float64 and without tricks."""
    values = (np.asarray(rows, np.float64) - classifier.subtract) / classifier.divide
    for number, (weights, biases) in enumerate(classifier.layers):
        values = (np.maximum(values, 0) if number else values) @ weights.astype(np.float64) + biases
    powers = np.exp(values.astype(np.longdouble) / classifier.temperature)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float64)


@pytest.mark.parametrize("sizes", [(5, 3), (5, 7, 3), (64, 200, 100, 10), (1, 1)])
@pytest.mark.parametrize("num_rows", [1, 2, 33])
def test_probabilities_are_those_of_the_definition(sizes, num_rows):
    rng = np.random.default_rng(1)
    classifier = make(
        sizes, scale=sizes[0] ** -0.5, subtract=rng.standard_normal(sizes[0]).astype(np.float32),
        divide=rng.uniform(1, 9, sizes[0]).astype(np.float32), temperature=1.7,
    )
    rows = rng.standard_normal((num_rows, sizes[0])) * 8
    classes, probabilities = classifier.predict(rows)
    expected = reference(classifier, rows.astype(np.float32))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert (classes == probabilities.argmax(axis=1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


def test_logits_of_thousands_give_probabilities():
    classifier = make(scale=3000.0)
    rows = np.random.default_rng(2).standard_normal((20, 5))
    _, probabilities = classifier.predict(rows)
    logits = classifier.logits(rows).astype(np.float64)
    assert np.abs(logits).max() > 1e6 and np.isfinite(probabilities).all()
    assert (probabilities.argmax(axis=1) == logits.argmax(axis=1)).all()


def test_a_row_that_overflows_is_refused_and_harms_no_other():
    classifier = make()
    good = np.random.default_rng(3).standard_normal((3, 5)).tolist()
    enormous = [3e38] * 5
    alone = classifier.predict(good)[1]
    _, mixed = classifier.predict([good[0], enormous, *good[1:]])
    np.testing.assert_allclose(mixed[[0, 2, 3]], alone, atol=1e-6)
    assert np.isnan(mixed[1]).any()
    status, reply = answer(classifier, body([good[0], enormous]))
    assert status == 422 and "rows[1]" in reply["error"] and "overflow" in reply["error"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False) | st.integers(-1000, 1000), min_size=3, max_size=3), min_size=1, max_size=9))
def test_numbers_arrive_as_they_were_sent(rows):
    found = parse_request(body(rows), 3)
    assert found.dtype == np.float32 and found.tolist() == np.array(rows, np.float32).tolist()


BAD = {
    b"": (400, "no JSON"), b"{": (400, "no JSON"), b'{"rows": [[1,2]]': (400, "no JSON"), b"\xff\xfe{": (400, "no JSON"),
    b"[" * 100_000: (400, "nested"), b'{"rows": [[1' + b"0" * 5000 + b",2]]}": (400, "no JSON"),
    b"null": (422, "null"), b"[[1,2]]": (422, "a list"), b"3": (422, "a number"), b'"rows"': (422, "a text"),
    b"{}": (422, "keys []"), b'{"row": [[1,2]]}': (422, "['row']"), b'{"rows": []}': (422, "an empty list"),
    b'{"rows": {}}': (422, "an object"), b'{"rows": null}': (422, "null"), b'{"rows": [1, 2]}': (422, "rows[0] is a number"),
    b'{"rows": [[]]}': (422, "rows[0] has 0 numbers"), b'{"rows": [[1,2],[1]]}': (422, "rows[1] has 1 numbers"),
    b'{"rows": [[1,2,3]]}': (422, "takes 2"), b'{"rows": [[1,"2"]]}': (422, "rows[0][1] is a text"),
    b'{"rows": [[1,2],[true,1]]}': (422, "rows[1][0] is true or false"), b'{"rows": [[1,null]]}': (422, "is null"),
    b'{"rows": [[1,[2]]]}': (422, "is a list"), b'{"rows": [[1,NaN]]}': (422, "rows[0][1] is nan"),
    b'{"rows": [[1,2],[-Infinity,1]]}': (422, "rows[1][0] is -inf"), b'{"rows": [[1e39,1]]}': (422, "finite in float32"),
    b'{"rows": [[1,1' + b"0" * 400 + b"]]}": (422, "too large"), body([[1, 2]] * 5): (422, "at most 4 rows"),
}  # fmt: skip


@pytest.mark.parametrize("sent", BAD, ids=lambda sent: repr(sent[:30]))
def test_a_bad_request_has_its_status_and_a_sentence(sent):
    status, words = BAD[sent]
    with pytest.raises(RequestError) as caught:
        parse_request(sent, 2, 4)
    assert caught.value.status == status and words in caught.value.sentence
    assert ": " in caught.value.sentence and caught.value.sentence.endswith(".") and len(caught.value.sentence) < 300
    classifier = make((2, 3))
    assert answer(classifier, sent, max_rows=4) == (status, {"error": caught.value.sentence})


def test_an_answer():
    classifier = make()
    rows = [[1, 2, 3, 4, 5], [0.5, 0, 0, 0, 0]]
    status, reply = answer(classifier, body(rows))
    classes, probabilities = classifier.predict(rows)
    assert status == 200 and reply["model"] == "0123456789ab" and reply["classes"] == classes.tolist()
    assert reply["probabilities"] == probabilities.tolist() and json.loads(json.dumps(reply)) == reply
    assert answer(classifier, body(rows).decode()) == (status, reply)


def test_a_batch_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(n, 5\), not \(5,\)"):
        make().predict(np.zeros(5))
