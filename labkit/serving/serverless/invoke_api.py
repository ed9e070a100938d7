"""AWS's Invoke API, and what :class:`LocalLambda` asks beside it.

``POST /2015-03-31/functions/NAME/invocations`` is what ``boto3.client("lambda", endpoint_url=...)`` calls, too.
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import asdict

from labkit.serving.serverless.calls import Call, Result, error_body
from labkit.serving.serverless.http_server import HttpConnection, HttpServer, Request
from labkit.serving.serverless.settings import MAX_REQUEST_BYTES

INVOKE = re.compile(r"/2015-03-31/functions/([^/?]+)/invocations")
RECORD_HEADER = "X-Labkit-Record"
MAX_AT_ONCE = 5_000


class InvokeConnection(HttpConnection):
    """A connection of a caller."""

    max_body_bytes = MAX_REQUEST_BYTES

    def __init__(self, server: HttpServer, service):
        super().__init__(server)
        self.service = service
        self.wants_record = False

    def handle(self, request: Request) -> None:
        path, _, query = request.target.partition("?")
        if match := INVOKE.fullmatch(path):
            self._invoke(request, match[1])
        elif path == "/labkit/drain" and request.method == "POST":
            asyncio.ensure_future(self._drain())
        elif path.startswith("/labkit/") and request.method == "GET":
            self._tell(path.removeprefix("/labkit/"), int(query) if query.isdigit() else 0)
        else:
            self._error(404, "ResourceNotFoundException", f"there is no {request.method} {path}.")

    def _invoke(self, request: Request, name: str):
        if name not in (
            self.service.settings.name,
            self.service.settings.arn.replace(":", "%3A"),
            self.service.settings.arn,
        ):
            return self._error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if request.method != "POST":
            return self._error(405, "InvalidRequestException", f"{request.method} does not invoke: use POST.")
        kind = request.header("x-amz-invocation-type") or "RequestResponse"
        if kind == "DryRun":
            return self.answer(204)
        if kind != "RequestResponse":
            return self._error(
                400, "InvalidParameterValueException", f"invocation type {kind} is not here: use RequestResponse."
            )
        event = request.body or b"{}"
        try:
            json.loads(event)
        except ValueError as error:  # also of bytes that are no UTF-8
            return self._error(
                400, "InvalidRequestContentException", f"Could not parse request body into json: {error}"
            )
        except RecursionError:
            return self._error(
                400, "InvalidRequestContentException", "Could not parse request body into json: too deep"
            )
        self.wants_record = request.header(RECORD_HEADER.lower()) is not None
        self.service.submit(Call(event, self._done, request.header("x-amz-client-context")))

    def _done(self, result: Result) -> None:
        headers = [("x-amzn-RequestId", result.record.request_id)]
        if self.wants_record:
            headers.append((RECORD_HEADER, result.record.to_json()))
        if result.outcome == "throttled":
            more = [("Retry-After", "1"), ("x-amzn-ErrorType", "TooManyRequestsException")]
            reserved = self.service.settings.reserved_concurrency is not None
            reason = (
                "ReservedFunctionConcurrentInvocationLimitExceeded" if reserved else "ConcurrentInvocationLimitExceeded"
            )
            body = json.dumps({"Reason": reason, "Type": "User", "message": "Rate Exceeded."}).encode()
            return self.answer(429, body, headers + more)
        if result.outcome == "draining":
            more = [("Retry-After", "1"), ("x-amzn-ErrorType", "ServiceException")]
            return self.answer(503, result.body, headers + more)
        headers.append(("X-Amz-Executed-Version", "$LATEST"))
        if not result.is_answer:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        self.answer(200, result.body, headers)

    def _error(self, status: int, kind: str, message: str):
        self.answer(status, error_body(kind, message), [("x-amzn-ErrorType", kind)])

    def error_body(self, status: int, sentence: str) -> bytes:
        kind = "RequestTooLargeException" if status == 413 else "InvalidRequestException"
        return error_body(kind, sentence)

    def too_large(self, num_bytes: int) -> str:
        limit = f"(limit {MAX_REQUEST_BYTES} bytes)"
        return f"{num_bytes} byte payload is too large for the RequestResponse invocation type {limit}"

    async def _drain(self):
        await self.service.drain()
        self.answer(200, b"{}")

    def _tell(self, what: str, start: int):
        service = self.service
        if what == "records":
            first = max(start, service.num_records - len(service.records))
            at = first - (service.num_records - len(service.records))
            some = [service.records[i] for i in range(at, min(len(service.records), at + MAX_AT_ONCE))]
            answer = {"next": first + len(some), "records": [asdict(record) for record in some]}
        elif what == "environments":
            infos = [*service.ended, *(each.info() for each in service.environments.values())]
            answer = [asdict(info) for info in sorted(infos, key=lambda info: info.number)]
        elif what == "logs":
            lines = service.book.since(start)
            answer = {"next": service.book.num_lines, "lines": lines}
        elif what == "state":
            answer = {"is_ready": service.is_ready, "num_in_flight": service.num_in_flight, "pid": os.getpid()}
        else:
            return self._error(404, "ResourceNotFoundException", f"there is no /labkit/{what}.")
        self.answer(200, json.dumps(answer).encode())
