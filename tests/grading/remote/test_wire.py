"""The format between judge and ranks."""

import importlib.util
import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.grading.remote.wire import Closed, Late, Link, WireError, decode, encode

spec = importlib.util.spec_from_file_location("fake_ranks", Path(__file__).with_name("fake_ranks.py"))
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)
frame, odd_values = fake.frame, fake.odd_values


@settings(max_examples=500, deadline=None)
@given(odd_values, st.lists(st.binary(max_size=20), max_size=3))
def test_values_are_read_or_refused(value, blocks):
    try:
        decode(value, [memoryview(block) for block in blocks])
    except WireError:
        pass


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(-5, 5), inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_arrive_as_they_are(value):
    blocks: list = []
    words = json.loads(json.dumps(encode(value, blocks)))
    found = decode(words, [memoryview(block) for block in blocks])
    assert found == value and type(found) is type(value)


@given(st.binary(max_size=200))
def test_noise_on_the_wire(noise):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        link.set_deadline(5)
        theirs.sendall(noise)
        theirs.close()
        with pytest.raises((WireError, Closed, Late)):
            while True:
                link.receive()


def test_frames_one_after_the_other_and_in_pieces():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = Link(ours)
        link.set_deadline(20)
        data = frame(["a"], b"12") + frame(["b"], b"345")
        theirs.sendall(data)
        assert [link.receive()[0] for _ in range(2)] == [["a"], ["b"]]
        for cut in range(1, len(data)):
            theirs.sendall(data[:cut])
            first = link.receive() if cut >= len(frame(["a"], b"12")) else None
            theirs.sendall(data[cut:])
            first = first or link.receive()
            assert (first[0], bytes(first[1][0])) == (["a"], b"12")
            second = link.receive()
            assert (second[0], bytes(second[1][0])) == (["b"], b"345")
