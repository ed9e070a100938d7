"""The HTTP front: events of payload format 2.0, answers, and clients that misbehave."""

import base64
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest

from labkit.serving.serverless.settings import MAX_REQUEST_BYTES

PLAIN = {"Content-Type": "application/json"}


def connect(function, timeout=60):
    parts = urlsplit(function.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout)


def read_all(connection) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def event_of(tools, function, body, headers=None, method="POST", path="/"):
    status, _, content = tools.post(function.url, body, headers or PLAIN, method, path)
    assert status == 200
    return json.loads(content)["event"]


def test_the_event_is_that_of_a_function_url(tools, function):
    headers = PLAIN | {"Cookie": "a=1; b=2", "X-Two": "x", "User-Agent": "me"}
    path = "/pre%20dict/x?a=1&a=2&b=%C3%A9&c="
    event = event_of(tools, function, '{"rows": "é"}'.encode(), headers, path=path)
    assert event["version"] == "2.0" and event["routeKey"] == "$default"
    assert event["rawPath"] == "/pre dict/x" and event["rawQueryString"] == "a=1&a=2&b=%C3%A9&c="
    assert event["queryStringParameters"] == {"a": "1,2", "b": "é", "c": ""}
    assert event["cookies"] == ["a=1", "b=2"] and "cookie" not in event["headers"]
    assert event["headers"]["x-two"] == "x" and event["headers"]["content-type"] == "application/json"
    assert event["body"] == '{"rows": "é"}' and event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["requestId"] == function.records[-1].request_id and context["stage"] == "$default"
    http = context["http"]
    assert (http["method"], http["path"], http["userAgent"]) == ("POST", "/pre dict/x", "me")
    assert (http["protocol"], http["sourceIp"]) == ("HTTP/1.1", "127.0.0.1")
    assert abs(context["timeEpoch"] / 1000 - function.records[-1].arrived_s) < 60


@pytest.mark.parametrize(
    ("body", "kind", "encoded"),
    [
        (b"\x00\xff\x80", "application/octet-stream", True),
        (b"text", "application/octet-stream", True),
        (b"\xff\xfe", "application/json", True),
        (b"not json", "application/json", False),
        (b"a=b", "application/x-www-form-urlencoded", False),
        (b"{}", "application/vnd.x+json; charset=utf-8", False),
    ],
)
def test_bodies(tools, function, body, kind, encoded):
    event = event_of(tools, function, body, {"Content-Type": kind})
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == body


def test_methods_without_a_body(tools, function):
    assert "body" not in event_of(tools, function, None, {"X": "y"}, "GET")
    status, headers, content = tools.post(function.url, None, {"X": "y"}, "HEAD")
    assert (status, content) == (200, b"") and int(headers["content-length"]) > 0


ANSWERS = [
    (
        {"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-A": "b", "X-N": 3}, "body": "née"},
        201,
        "née".encode(),
    ),
    ({"statusCode": "404", "body": "no"}, 404, b"no"),
    ({"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(b"\x00\xff").decode()}, 200, b"\x00\xff"),
    ({"statusCode": 204}, 204, b""),
    ({"statusCode": 200, "body": None}, 200, b""),
    ({"classes": [1]}, 200, b'{"classes": [1]}'),
    ("text", 200, b'"text"'),
    ({"statusCode": "many"}, 502, b"statusCode"),
    ({"statusCode": 99}, 502, b"statusCode"),
    ({"statusCode": True}, 502, b"statusCode"),
    ({"statusCode": 200, "body": {"a": 1}}, 502, b"json.dumps"),
    ({"statusCode": 200, "headers": {"X-A": "b\r\nX-C: d"}}, 502, b"line break"),
    ({"statusCode": 200, "headers": {"X A": "b"}}, 502, b"header"),
    ({"statusCode": 200, "headers": ["X"]}, 502, b"headers is an object"),
    ({"statusCode": 200, "isBase64Encoded": True, "body": "%"}, 502, b"base64"),
]


@pytest.fixture(scope="module")
def repeater(tools, tmp_path_factory):
    """Returns, raises or does what the body of a request says."""
    handler = """
import base64, json, os, time
def handler(event, context):
    body = event["body"]
    if event["isBase64Encoded"]:
        return {"statusCode": 200, "body": str(len(base64.b64decode(body)))}
    wish = json.loads(body)
    if isinstance(wish, dict) and "do" in wish:
        exec(wish["do"])
    return wish
"""
    with tools.start(tools.write_function(tmp_path_factory.mktemp("repeater"), handler), timeout_s=30.0) as function:
        yield function


@pytest.mark.parametrize(("returned", "status", "content"), ANSWERS)
def test_answers(tools, repeater, returned, status, content):
    got = tools.post(repeater.url, json.dumps(returned).encode())
    assert got[0] == status
    if status == 502:
        assert content in got[2] and json.loads(got[2])["error"].startswith("the handler's answer is no HTTP answer: ")
    else:
        assert got[2] == content
    assert got[1]["x-amzn-requestid"] == repeater.records[-1].request_id
    if isinstance(returned, dict) and returned.get("statusCode") == 201:
        assert (got[1]["content-type"], got[1]["x-a"], got[1]["x-n"]) == ("text/plain", "b", "3")


def test_cookies_and_headers_of_the_handler(repeater):
    wish = {
        "statusCode": 200,
        "headers": {"Content-Length": "999", "Connection": "close"},
        "cookies": ["a=1", "b=2"],
        "body": "ok",
    }
    body = json.dumps(wish).encode()
    with connect(repeater) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        answer = read_all(connection)
    assert (
        answer.count(b"Set-Cookie: ") == 2
        and b"999" not in answer
        and answer.endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\nok")
    )


def test_failures_are_sentences(tools, repeater):
    for do, status, words in (
        ("raise ValueError('bad rows')", 502, "ValueError: bad rows"),
        ("os._exit(3)", 502, "exit status 3"),
        ("os.kill(os.getpid(), 9)", 502, "was killed while it ran"),
    ):
        got = tools.post(repeater.url, json.dumps({"do": do}).encode())
        assert got[0] == status and words in json.loads(got[2])["error"]
    assert [r.num_attempts for r in repeater.records[-3:]] == [1, 1, 2]


def test_a_body_that_is_too_large(tools, repeater):
    """20 MB, with its length said before, in chunks without a length, and announced with Expect."""
    num_records = len(repeater.records)
    large = b"x" * 20_000_000
    status, headers, content = tools.post(repeater.url, large)
    assert status == 413 and f"{MAX_REQUEST_BYTES}" in json.loads(content)["error"] and headers["connection"] == "close"
    with connect(repeater) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            connection.sendall(b"f4240\r\n" + large[:1_000_000] + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")
    with connect(repeater) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 20000000\r\nExpect: 100-continue\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")
    assert len(repeater.records) == num_records
    octets = {"Content-Type": "application/octet-stream"}
    size = MAX_REQUEST_BYTES // 4 * 3 - 4096  # in base64 the event is as large as AWS allows
    assert tools.post(repeater.url, large[:size], octets)[2] == str(size).encode()
    with connect(repeater) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\nContent-Type: text/x\r\n\r\n"
        )
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"null")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -4\r\n\r\n",
        b"\x16\x03\x01\x02",
    ],
)
def test_what_is_no_http(function, sent):
    num_records = len(function.records)
    with connect(function) as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ") and b'"error"' in answer
    assert len(function.records) == num_records


def test_headers_without_end(function):
    with connect(function) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\n")
            for number in range(3000):
                connection.sendall(b"X-%d: %s\r\n" % (number, b"y" * 100))
        except OSError:
            pass
        assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_requests_one_after_the_other_on_one_connection(repeater):
    """Sent without waiting, in pieces that do not fit them: answered in their order."""
    sent = b"".join(
        b"POST / HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n%d" % (len(str(n)), n) for n in range(30)
    )
    with connect(repeater) as connection:
        for start in range(0, len(sent), 37):
            connection.sendall(sent[start : start + 37])
        connection.shutdown(socket.SHUT_WR)
        answers = read_all(connection).split(b"\r\n\r\n")
    assert [answer.split(b"HTTP/1.1")[0] for answer in answers[1:]] == [str(n).encode() for n in range(30)]


def test_slow_clients_hold_up_nobody(tools, folder):
    from labkit.serving.serverless import LocalLambda

    settings = tools.start(folder, reserved_concurrency=1).settings
    with LocalLambda(settings, read_limit_s=1.0) as function:
        slow = [connect(function) for _ in range(20)]
        for connection in slow:
            connection.sendall(b"POST / HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: 10\r\n\r\n12345")
        assert tools.post(function.url, b"{}")[0] == 200  # the one environment is free
        for connection in slow:
            assert read_all(connection).startswith(b"HTTP/1.1 408 ")
            connection.close()
        assert len(function.records) == 1


def test_a_client_that_goes_away_costs_nothing_but_its_call(tools, repeater, tmp_path):
    began, end, num_records = tmp_path / "began", tmp_path / "end", len(repeater.records)
    do = f"open({str(began)!r}, 'w')\nwhile not os.path.exists({str(end)!r}): time.sleep(0.01)"
    body = json.dumps({"do": do}).encode()
    connection = connect(repeater)
    connection.sendall(b"POST / HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    tools.wait_until(began.exists, "the call runs")
    connection.close()
    end.touch()
    tools.wait_until(lambda: len(repeater.records) == num_records + 1, "the end of the call")
    assert repeater.records[-1].outcome == "ok"
    half = connect(repeater)
    half.sendall(b"POST / HTTP/1.1\r\nContent-Type: text/x\r\nContent-Length: 10\r\n\r\n12")
    half.close()
    assert tools.post(repeater.url, b"1")[2] == b"1"
    assert len(repeater.records) == num_records + 2


def test_many_clients_at_once(tools, repeater):
    """Every request gets its own answer."""
    wrong = []

    def client(number):
        for k in range(20):
            wish = {"number": number, "k": k}
            if json.loads(tools.post(repeater.url, json.dumps(wish).encode())[2]) != wish:
                wrong.append(wish)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    num_records = len(repeater.records)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert not wrong and len(repeater.records) == num_records + 160
    ids = [record.request_id for record in repeater.records]
    assert len(set(ids)) == len(ids)
