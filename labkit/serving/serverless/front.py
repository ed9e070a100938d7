"""The HTTP front: what a Lambda function URL does (payload format 2.0).

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import json
import re
import time
from urllib.parse import parse_qsl, unquote

from labkit.serving.serverless.calls import Call, Result
from labkit.serving.serverless.http_server import HttpConnection, HttpServer, Request
from labkit.serving.serverless.settings import MAX_REQUEST_BYTES, FunctionSettings

TEXT_TYPES = re.compile(r"text/|application/(json|javascript|xml|x-www-form-urlencoded)|.*\+(json|xml)")
# The server's own business
NOT_FROM_HANDLER = {"content-length", "connection", "transfer-encoding", "keep-alive", "content-type"}
STATUS = {"timeout": 504, "init timeout": 504, "throttled": 429, "draining": 503}
RETRY_AFTER = [("Retry-After", "1")]


class AnswerError(ValueError):
    """What the handler returned is no HTTP answer."""


class FrontConnection(HttpConnection):
    """A connection of a client of the function."""

    max_body_bytes = MAX_REQUEST_BYTES

    def __init__(self, server: HttpServer, service):
        super().__init__(server)
        self.service = service

    def handle(self, request: Request) -> None:
        peer = self.transport.get_extra_info("peername") or ("127.0.0.1", 0)
        host = request.header("host") or "127.0.0.1"
        call = Call(b"", self._done)
        call.event = json.dumps(event_of(request, call.request_id, peer[0], host)).encode()
        self.service.submit(call)

    def _done(self, result: Result) -> None:
        headers = [("x-amzn-RequestId", result.record.request_id)]
        if result.is_answer:
            try:
                status, more, content_type, body = answer_of(result.body)
                return self.answer(status, body, headers + more, content_type)
            except AnswerError as error:
                sentence = f"the handler's answer is no HTTP answer: {error}"
                return self.answer(502, self.error_body(502, sentence), headers)
        status = STATUS.get(result.outcome, 502)
        if status in (429, 503):
            headers += RETRY_AFTER
        self.answer(status, self.error_body(status, sentence_of(result, self.service.settings)), headers)


def event_of(request: Request, request_id: str, address: str, host: str) -> dict:
    """The event that the handler gets, payload format 2.0; ``context.aws_request_id`` is its ``requestId``."""
    path, _, query = request.target.partition("?")
    headers: dict[str, str] = {}
    cookies = []
    for name, value in request.headers:
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    now = time.time()
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(path),
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "local",
            "domainName": host,
            "domainPrefix": host.split(".")[0],
            "http": {
                "method": request.method,
                "path": unquote(path),
                "protocol": f"HTTP/{request.version}",
                "sourceIp": address,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": False,
    }
    if cookies:
        event["cookies"] = cookies
    if query:
        parameters: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
        event["queryStringParameters"] = parameters
    if request.body:
        event["body"], event["isBase64Encoded"] = _text_of(request.body, headers.get("content-type", ""))
    return event


def _text_of(body: bytes, content_type: str) -> tuple[str, bool]:
    """The body as text, and whether it is base64 of what came."""
    if TEXT_TYPES.match(content_type.lower()):
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def answer_of(payload: bytes) -> tuple[int, list[tuple[str, str]], str, bytes]:
    """Status, headers, content type and body from what the handler returned.

    An object with a ``statusCode`` says them all; anything else is itself the body of a 200.

    Raises
    ------
    AnswerError
        Some part of it is of the wrong kind.
    """
    try:
        returned = json.loads(payload)
    except ValueError:
        raise AnswerError("it is no JSON; return an object with statusCode, headers and body.") from None
    if not isinstance(returned, dict) or "statusCode" not in returned:
        return 200, [], "application/json", payload
    status = returned["statusCode"]
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise AnswerError(f"statusCode is a number from 200 to 599, not {status!r:.40}.")
    headers, content_type = _headers_of(returned)
    body = returned.get("body", "")
    if body is None:
        body = ""
    if not isinstance(body, str):
        raise AnswerError(f"body is a text, not {type(body).__name__}: use json.dumps.")
    if not returned.get("isBase64Encoded"):
        return status, headers, content_type, body.encode("utf-8", "replace")
    try:
        return status, headers, content_type, base64.b64decode(body, validate=True)
    except ValueError:
        raise AnswerError("isBase64Encoded is true, and body is no base64.") from None


def _headers_of(returned: dict) -> tuple[list[tuple[str, str]], str]:
    given = returned.get("headers") or {}
    cookies = returned.get("cookies") or []
    if not isinstance(given, dict) or not isinstance(cookies, list):
        raise AnswerError("headers is an object and cookies a list.")
    headers, content_type = [], "application/json"
    for name, value in [*given.items(), *(("Set-Cookie", cookie) for cookie in cookies)]:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise AnswerError(f"the header {name!r:.40} is a text, not {type(value).__name__}.")
        value = str(value)
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\r\n\0]", value):
            raise AnswerError(f"the header {name!r:.40} has a line break in it, or a name that no header can have.")
        if name.lower() == "content-type":
            content_type = value
        elif name.lower() not in NOT_FROM_HANDLER:
            headers.append((name, value))
    return headers, content_type


def sentence_of(result: Result, settings: FunctionSettings) -> str:
    """What went wrong, for the client: the rule, the values, the next step."""
    if result.outcome == "throttled":
        return (
            f"all {settings.concurrency_limit} environments that the function may have are busy: try again in a second."
        )
    if result.outcome == "draining":
        return "the function is being stopped: send the request to another one."
    if result.outcome == "killed":
        return (
            "the environment was killed while it ran the request, and so was the one that tried it again: see the logs."
        )
    if result.outcome == "timeout":
        return f"the handler took longer than {settings.timeout_s:g} s and was killed: send less, or raise timeout_s."
    if result.outcome == "init timeout":
        return f"the environment was not ready after {settings.init_timeout_s:g} s: load less, or raise init_timeout_s."
    if result.outcome == "out of memory":
        return f"the environment held more than {settings.memory_mb} MB and was killed: send less, or raise memory_mb."
    try:
        error = json.loads(result.body)
        what = f"{error['errorType']}: {error['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        what = "no description"
    return f"the function failed ({result.outcome}): {what:.2000}; see its logs."
