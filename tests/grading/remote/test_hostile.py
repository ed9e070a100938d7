"""Ranks that send what no rank sends: the judge reports it, and neither fails, nor hangs, nor believes a word."""

import importlib.util
import json
import pickle
import resource
import socket
import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from labkit.grading.outcomes import Status
from labkit.grading.remote.calls import OF_A_COMMUNICATOR, OF_REQUESTS
from labkit.grading.remote.wire import HEAD, Closed, Late, Link, WireError, decode, encode

spec = importlib.util.spec_from_file_location("fake_ranks", Path(__file__).with_name("fake_ranks.py"))
fake = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fake)
call, frame, outcome_of, result = fake.call, fake.frame, fake.outcome_of, fake.result

GOOD = result(1)
MANY_BYTES = 600 << 20  # no test may make the judge grow by this


@pytest.fixture(autouse=True)
def the_judge_does_not_grow():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MANY_BYTES


class Evil:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self):
        return exec, ("import builtins; builtins.labkit_was_fooled = True",)


EVIL = pickle.dumps(Evil())


def was_fooled():
    import builtins

    return hasattr(builtins, "labkit_was_fooled")


def test_the_fake_rank_can_pass():
    assert outcome_of(GOOD, GOOD).status is Status.PASSED
    assert outcome_of(GOOD, num_ranks=0).status is Status.PASSED
    talk = call(1, "Send", [0, 1, 0], b"12345678") + GOOD, call(1, "Recv", [8, 0, 0]) + GOOD
    assert outcome_of(*talk).status is Status.PASSED


ARRAY = {"array": 0, "type": "<f8", "counts": None, "displacements": None, "at": [0, 8]}
BROKEN = {
    "nothing": b"",
    "half a head": b"\0\0",
    "a frame cut in the middle": call(1, "Barrier")[:-3],
    "a body cut in the middle": frame(["call", 1, "Send", [0, 1, 0], 1, []], b"1234", body_size=100),
    "a head that claims 4 GB": struct.pack(">II", 10, 2**32 - 1) + b"0123456789",
    "a header that claims 4 GB": struct.pack(">II", 2**32 - 1, 0) + b"0123456789",
    "a header of 200 MB": frame(b"[" * 100, header_size=200 << 20),
    "no JSON": frame(b"\xff\xfe\x00"),
    "empty JSON": frame(b""),
    "deep nesting": frame(b"[" * 100_000 + b"]" * 100_000),
    "deep nesting of a result": result({"tuple": json.loads("[" * 300 + "]" * 300)}),
    "a huge integer": frame(b"[" + b"9" * 5000 + b", []]"),
    "NaN for a size": frame(b"[[], [NaN]]"),
    "a negative block": frame(["result", 1, []], b"1234", sizes=[-4, 4]),
    "a block too large": frame(["result", 1, []], b"1234", sizes=[2**63]),
    "a truth value for a size": frame(["result", 1, []], b"1234", sizes=[True]),
    "a text for sizes": frame(["result", 1, []], sizes="abcd"),
    "a number": frame(7),
    "null": frame(None),
    "an empty list": frame([]),
    "a dict": frame({"call": 1}),
    "a list as its kind": frame([["call"], 1]),
    "an unknown kind": frame(["run", 0, 2, []]),
    "it says unconfined": frame(["unconfined", "believe me"]),
    "combined, and nobody has asked": frame(["combined"], b"12345678"),
    "a call with too few parts": frame(["call", 1, "Barrier"]),
    "handle 0": call(0, "Barrier"),
    "handle 17": call(17, "Barrier"),
    "handle -1": call(-1, "Barrier"),
    "a truth value for a handle": call(False, "Barrier"),
    "a list for a handle": call([1], "Barrier"),
    "a huge handle": call(2**70, "Barrier"),
    "a private method": call(1, "_launch", [1, 2, 3]),
    "a dunder": call(1, "__class__"),
    "an attribute": call(1, "world"),
    "a list for a method": call(1, ["Barrier"]),
    "charge_compute": call(1, "charge_compute", [1e300]),
    "too many arguments": call(1, "Barrier", [1, 2, 3]),
    "arguments that are no list": frame(["call", 1, "Barrier", {"a": 1}, 1, []]),
    "a float for a rank": call(1, "recv", [None, 1.0, 0]),
    "a truth value for a rank": call(1, "recv", [None, True, 0]),
    "a huge tag": call(1, "recv", [None, 0, 2**63]),
    "a text for a tag": call(1, "recv", [None, 0, "0"]),
    "something where nothing belongs": call(1, "recv", [{"object": 0}, 0, 0], EVIL),
    "a room of -1 bytes": call(1, "Recv", [-1, 0, 0]),
    "a room of 1 TB": call(1, "Recv", [2**40, 0, 0]),
    "a room of 2**70 bytes": call(1, "Recv", [2**70, 0, 0]),
    "a block that is not there": call(1, "Send", [1, 0, 0], b"1234"),
    "block -1": call(1, "Send", [-1, 0, 0], b"1234"),
    "an array of objects": call(1, "Bcast", [ARRAY | {"type": "|O8"}, 0], b"12345678"),
    "an array of times": call(1, "Bcast", [ARRAY | {"type": "<M8[s]"}, 0], b"12345678"),
    "a structured array": call(1, "Bcast", [ARRAY | {"type": "i4,i4"}, 0], b"12345678"),
    "a type as a list": call(1, "Bcast", [ARRAY | {"type": [["a", "<i8"]]}, 0], b"12345678"),
    "a type of 2 GB": call(1, "Bcast", [ARRAY | {"type": "S2147483647"}, 0], b"12345678"),
    "half an element": call(1, "Bcast", [ARRAY, 0], b"1234567"),
    "counts of texts": call(1, "Allgatherv", [ARRAY, ARRAY | {"counts": ["a", "b"]}], b"12345678"),
    "counts that are huge": call(1, "Allgatherv", [ARRAY, ARRAY | {"counts": [2**63, 1]}], b"12345678"),
    "the same as nothing": call(1, "Allreduce", [None, "the same", "SUM"]),
    "an unknown operation": call(1, "Allreduce", [ARRAY, ARRAY, "system"], b"12345678"),
    "an operation that is a dict": call(1, "Allreduce", [ARRAY, ARRAY, {"op": 1}], b"12345678"),
    "truth values for numbers": call(1, "Create_cart", [[True, True], None]),
    "numbers for truth values": call(1, "Create_cart", [[1, 2], [0, 1]]),
    "no dims": call(1, "Create_cart", [None, None]),
    "a wait for a communicator": call(0, "Wait", [1]),
    "a wait for nothing": call(0, "Wait", []),
    "a wait for what is not there": call(0, "Waitall", [5, 6]),
    "a private wait": call(0, "_fill", [1]),
    "requests in a dict": call(0, "Waitall", {"a": 1}),
    "a computation of minus one second": call(1, "Barrier", charges=[[1, 1, -1.0, 0]]),
    "an infinite computation": frame(b'[["call",1,"Barrier",[],1,[[1,1,Infinity,0]]],[]]'),
    "a computation of NaN seconds": frame(b'[["result",{"dict":[["return",1]]},[[1,1,NaN,0]]],[]]'),
    "a reduction of -5 elements": result(1, [[0, 1, -5, 0]]),
    "a reduction of 2**60 elements": result(1, [[0, 1, 2**60, 0]]),
    "a reduction of a text": result(1, [[0, 1, "8", 8]]),
    "a reduction on nothing": result(1, [[0, 9, 8, 8]]),
    "charges that are no list": frame(["result", {"dict": [["return", 1]]}, 5]),
    "a result that is a number": frame(["result", 5, []]),
    "a result that is a list": frame(["result", [1], []]),
    "a result of an unknown kind": result({"pickle": 0}),
    "a result of two kinds": result({"tuple": [], "dict": []}),
    "an array that is not there": result({"array": ["<f8", [1], 0]}),
    "an array of objects as a result": frame(["result", {"array": ["|O8", [1], 0]}, []], b"12345678"),
    "an array with a negative extent": frame(["result", {"array": ["<f8", [-1], 0]}, []], b"12345678"),
    "an array without elements, and huge": frame(["result", {"array": ["<f8", [0, 2**61], 0]}, []], b""),
    "a type with a NUL": frame(["result", {"array": ["<f8\0", [1], 0]}, []], b"12345678"),
    "characters that are none": frame(["result", {"array": ["<U1", [1], 0]}, []], b"\xff\xff\xff\xff"),
    "an int that is a float": result({"int": 1e400}),
    "an int of 10 000 digits": result({"int": "1" * 10_000}),
    "a complex of texts": result({"complex": ["1j", {}]}),
    "unhashable keys": result({"dict": [[[1], 2]]}),
    "keys that collide": result({"dict": [[{"int": str(k * (2**61 - 1))}, 0] for k in range(1, 50_000)]}),
    "raised without words": frame(["raised"]),
}


@pytest.mark.parametrize("number", [2, 0])
@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_understood_is_a_verdict(name, number):
    start = time.monotonic()
    outcome = outcome_of(BROKEN[name], GOOD, num_ranks=2) if number else outcome_of(BROKEN[name], num_ranks=0)
    assert outcome.status is Status.CRASHED, outcome
    assert "cannot be understood" in outcome.message or "ended" in outcome.message
    assert len(outcome.message) < 1000 and outcome.message.isprintable()
    assert time.monotonic() - start < 20  # the limit is 3 s; machines can be slow
    assert not was_fooled()


def test_words_of_an_exception_are_words():
    said = frame(["raised", "E\x1b[2J\0", "a\ud800\u202e" + "b" * 10**6, {"trace": 1}, "line"])
    outcome = outcome_of(said, GOOD)
    assert outcome.status is Status.CRASHED and r"E\x1b[2J\x00: a\ud800\u202ebbb" in outcome.message
    assert len(outcome.message) < 10_000 and outcome.details == ""
    outcome.message.encode()
    for line in (-1, True, 2**80, 1.5, [1], None):
        assert "line" not in outcome_of(frame(["raised", "E", "", "", line]), GOOD).message


def test_a_call_that_raises_is_answered():
    heard = []

    def script(sock):
        link = Link(sock)
        link.receive()
        for method, args in (("Send", [0, 99, 0]), ("Recv", [8, 0, -7]), ("Get_coords", [1]), ("Sub", [[True]])):
            link.sock.sendall(call(1, method, args, b"1234"))
            heard.append(link.receive()[0][:2])
        link.sock.sendall(GOOD)

    outcome = outcome_of(script, GOOD)
    assert heard[:2] == [
        ["error", ["MPIError", 6, "rank 0: Send(dest=99, tag=0): there is no rank 99, dest is one of 0 to 1"]],
        ["error", ["MPIError", 4, heard[1][1][2]]],
    ]
    assert outcome.status is Status.CRASHED  # no rank asks for the coordinates: it computes them


def test_a_flood_of_messages_and_requests_ends():
    endless = [
        call(1, "isend", [0, 1, 0], b"x"), call(1, "Send", [0, 1, 0], bytes(1 << 20)), call(1, "irecv", [None, 1, 0]),
        call(1, "Irecv", [1 << 24, 1, 0]), call(1, "Iallreduce", [ARRAY, ARRAY | {"array": 1}, "SUM"], bytes(1 << 23), bytes(1 << 23)),
        call(1, "Dup"), call(1, "Iprobe", [1, 0]), call(1, "wtime"), call(1, "Recv_init", [8, 0, 0]),
    ]
    for one in endless:
        def flood(sock, one=one):
            while True:
                sock.sendall(one * max(1, 100_000 // len(one)))
                sock.setblocking(False)
                try:
                    while sock.recv(1 << 20):
                        pass
                except BlockingIOError:
                    sock.setblocking(True)

        start = time.monotonic()
        outcome = outcome_of(flood, flood, limit_s=1.0)
        assert outcome.status in (Status.CRASHED, Status.TIMED_OUT, Status.DEADLOCKED), outcome
        assert time.monotonic() - start < 30


def test_a_rank_that_does_not_read_or_trickles_is_late():
    def reads_nothing(sock):
        big = call(1, "Sendrecv", [0, 0, 0, 1 << 25, 0, 0], bytes(1 << 25))
        sock.sendall(big)
        time.sleep(fake.LIMIT_S)

    def trickles(sock):
        for byte in call(1, "Barrier") * 1000:
            sock.sendall(bytes([byte]))
            time.sleep(0.2)

    def reads_slowly(sock):
        sock.sendall(call(1, "Sendrecv", [0, 0, 0, 1 << 25, 0, 0], bytes(1 << 25)))
        while sock.recv(1):
            time.sleep(0.2)

    for script in (reads_nothing, trickles, reads_slowly, lambda sock: time.sleep(fake.LIMIT_S)):
        start = time.monotonic()
        outcome = outcome_of(script, GOOD, limit_s=1.0)
        assert outcome.status is Status.TIMED_OUT, outcome
        assert time.monotonic() - start < 20


def test_objects_are_not_opened():
    talk = call(1, "send", [0, 1, 0], EVIL) + call(1, "gather", [0, 1], EVIL) + call(1, "allreduce", [0, [0, False]], EVIL)
    other = call(1, "recv", [None, 0, 0]) + call(1, "gather", [0, 1], EVIL) + call(1, "allreduce", [0, [0, False]], EVIL)
    combined = frame(["combined"], EVIL)  # rank 0 combines for both
    assert outcome_of(talk + combined + GOOD, other + GOOD).status is Status.PASSED
    assert not was_fooled()
    pickle.loads(EVIL)
    assert was_fooled()  # it would have shown
    import builtins

    del builtins.labkit_was_fooled


@pytest.mark.parametrize("reply", [
    frame(["combined"]), frame(["combined"], b"1234"), frame(["combined"], b"12345678", b"1"), frame(["failed"]),
    call(1, "Barrier"), GOOD, frame(5), b"",
])
def test_wrong_combined_values(reply):
    both = call(1, "Allreduce", [ARRAY, ARRAY | {"array": 1}, [0, True]], b"12345678", b"12345678")
    outcome = outcome_of(both + reply + GOOD, both + reply + GOOD)
    assert outcome.status is Status.CRASHED, outcome


odd_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 6) | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["in place", "the same", "SUM", "<f8", "|O8", 2**63, -(2**31)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["array", "type", "counts", "displacements", "at", "dict", "tuple", "object", "scalar", "int"]), inner,
        max_size=4,
    ),
    max_leaves=12,
)
letters = {
    "n": st.integers(-3, 4), "d": st.integers(-1, 2), "x": st.integers(-1, 2), "o": st.integers(-1, 2), "_": st.none(),
    "r": st.sampled_from([0, 8, 16, 1 << 20]), "s": st.none() | st.lists(st.integers(-2, 3), max_size=3),
    "c": st.lists(st.integers(-1, 3), max_size=3), "t": st.none() | st.lists(st.booleans(), max_size=3),
    "O": st.none() | st.lists(st.integers(0, 1), max_size=3), "p": st.sampled_from(["SUM", "MAXLOC", "BAND", [0, True], [7, False]]),
}
letters["i"] = letters["w"] = st.sampled_from([None, "in place", "the same"]) | st.builds(
    lambda number, code, counts, places: {"array": number, "type": code, "counts": counts, "displacements": places, "at": [0, 0]},
    st.integers(0, 1), st.sampled_from(["<f8", ">i4", "|b1", "<c16", "|u1", "<f2", "<f16", "|S4"]), letters["s"], letters["s"],
)


@st.composite
def frames(draw):
    """A frame that is nearly right: often the right kind of argument at its place."""
    kind = draw(st.sampled_from(["call", "call", "call", "requests", "result", "any"]))
    blocks = [b"12345678", bytes(16)]
    charges = draw(st.just([]) | st.just([]) | st.lists(odd_values, max_size=2))
    if kind == "call":
        method = draw(st.sampled_from(sorted(OF_A_COMMUNICATOR)))
        args = [
            draw(odd_values if draw(st.integers(0, 15)) == 0 else letters[letter]) for letter in OF_A_COMMUNICATOR[method]
        ]
        handle = draw(st.sampled_from([1, 1, 1, 2, 3, 4, True]))
        return call(handle, method, args, *blocks, line=draw(st.none() | st.integers() | odd_values), charges=charges)
    if kind == "requests":
        handles = draw(st.lists(st.integers(0, 6), max_size=4))
        return call(0, draw(st.sampled_from(sorted(OF_REQUESTS))), handles)
    if kind == "result":
        return frame(["result", draw(odd_values), charges], *blocks)
    return frame(draw(odd_values), *draw(st.lists(st.binary(max_size=9), max_size=2)))


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(frames(), max_size=8).map(b"".join), min_size=1, max_size=3), st.booleans())
@example([call(1, "Alltoallv", [ARRAY | {"counts": [-1, 5]}, ARRAY | {"counts": [2**40, 2]}], b"12345678") + GOOD] * 2, True)
@example([call(1, "Gatherv", [ARRAY, ARRAY | {"counts": [2**50, 2**50]}, 0], b"12345678") + GOOD] * 2, True)
def test_nearly_right_frames(scripts, alone):
    if alone and len(scripts) == 1:
        outcome = outcome_of(*scripts, num_ranks=0)
    else:
        outcome = outcome_of(*scripts)
    assert isinstance(outcome.status, Status)


@settings(max_examples=500, deadline=None)
@given(odd_values, st.lists(st.binary(max_size=20), max_size=3))
def test_values_are_read_or_refused(value, blocks):
    try:
        decode(value, [memoryview(block) for block in blocks])
    except WireError:
        pass


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.complex_numbers(allow_nan=False),
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
        assert HEAD.size == 8
