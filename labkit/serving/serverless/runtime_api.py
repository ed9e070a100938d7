"""The Lambda Runtime API, version 2018-06-01: how an environment gets its requests and gives its answers.

Every environment has a server of its own on a port of its own, as every microVM of AWS has: none can answer for
another. https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json

from labkit.serving.serverless.http_server import HttpConnection, HttpServer, Request
from labkit.serving.serverless.settings import MAX_RESPONSE_BYTES

PREFIX = "/2018-06-01/runtime/"
ACCEPTED = b'{"status":"OK"}\n'


class RuntimeApiConnection(HttpConnection):
    """A connection of AWS's client. `environment` has ``next``, ``respond``, ``respond_error`` and ``init_error``."""

    max_body_bytes = MAX_RESPONSE_BYTES
    waits_for_ever = True

    def __init__(self, server: HttpServer, environment):
        super().__init__(server)
        self.environment = environment

    def handle(self, request: Request) -> None:
        path = request.target
        if not path.startswith(PREFIX):
            return self.fail(404, "NotFound", f"there is no {path} in the Runtime API.")
        words = path[len(PREFIX) :].split("/")
        if words == ["invocation", "next"] and request.method == "GET":
            self.environment.next(self)
        elif request.method != "POST":
            self.fail(405, "MethodNotAllowed", f"{request.method} {path} is not in the Runtime API.")
        elif words == ["init", "error"]:
            self.environment.init_error(self, request)
        elif len(words) == 3 and words[0] == "invocation" and words[2] == "response":
            self.environment.respond(self, words[1], request)
        elif len(words) == 3 and words[0] == "invocation" and words[2] == "error":
            self.environment.respond_error(self, words[1], request)
        else:
            self.fail(404, "NotFound", f"there is no {path} in the Runtime API.")

    def hand_over(self, call, deadline_ms: int, arn: str) -> None:
        """Answer a waiting ``next`` with a call."""
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", call.request_id),
            ("Lambda-Runtime-Deadline-Ms", deadline_ms),
            ("Lambda-Runtime-Invoked-Function-Arn", arn),
            ("Lambda-Runtime-Trace-Id", call.trace_id),
        ]
        if call.client_context is not None:
            headers.append(("Lambda-Runtime-Client-Context", call.client_context))
        self.answer(200, call.event, headers)

    def accept(self) -> None:
        self.answer(202, ACCEPTED)

    def fail(self, status: int, kind: str, sentence: str) -> None:
        self.answer(status, json.dumps({"errorMessage": sentence, "errorType": kind}).encode())

    def too_large(self, num_bytes: int) -> str:
        limit = f"maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."
        sentence = f"Response payload size ({num_bytes} bytes) exceeded {limit}"
        self.environment.response_too_large(sentence)
        return sentence

    def error_body(self, status: int, sentence: str) -> bytes:
        return json.dumps({"errorMessage": sentence, "errorType": "InvalidRequest"}).encode()

    def gone(self) -> None:
        self.environment.connection_gone(self)
