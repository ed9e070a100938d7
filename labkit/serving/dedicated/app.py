"""The web application of a worker: requests in, batches through the model, answers out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import time

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from labkit.serving.dedicated.batcher import Draining, DynamicBatcher, PredictError, QueueFull
from labkit.serving.dedicated.counters import Counters
from labkit.serving.dedicated.settings import ServerSettings
from labkit.serving.package.classifier import SHOWN_DIGITS, RequestError, load_package, parse_request

LARGE_BODY_BYTES = 1 << 16  # parsed in a thread: it would hold up all others
DISCARDED_BYTES = 1 << 26  # of a body that is refused
LOG = logging.getLogger("labkit.serving")
CLOSE = {"connection": "close"}
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object", "required": ["rows"],
                "properties": {"rows": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}},
            }
        }
    },
}


class State:
    """Of one worker.

    Attributes
    ----------
    classifier : Classifier
    settings : ServerSettings
    batcher : DynamicBatcher
    counters : Counters
    worker : int
        Its line in the counters.
    is_draining : bool
        It is being stopped: new requests are refused.
    """

    def __init__(self, classifier, settings: ServerSettings, counters: Counters, worker: int):
        self.classifier, self.settings, self.counters, self.worker = classifier, settings, counters, worker
        self.batcher = DynamicBatcher(
            classifier.predict, settings.max_batch, settings.max_wait_s, settings.max_queue, on_batch=self.count_batch
        )
        self.is_draining = False

    def count_batch(self, num_rows, waits_s, predict_s, ok) -> None:
        self.counters.batch(self.worker, num_rows, waits_s, predict_s, ok)
        self.counters.set(self.worker, "queue_rows", self.batcher.num_waiting)

    @property
    def is_stuck(self) -> bool:
        """The model computes one batch longer than an answer may take."""
        return self.batcher.running_s > self.settings.timeout_s

    def answer(self, status: int, reply: dict, headers: dict | None = None) -> Response:
        """Count it, and make it JSON."""
        self.counters.status(self.worker, status)
        if self.is_draining:
            headers = {**(headers or {}), **CLOSE}
        return Response(json.dumps(reply), status, headers, "application/json")

    def problem(self, status: int, sentence: str, headers: dict | None = None) -> Response:
        return self.answer(status, {"error": sentence}, headers)

    async def predict(self, scope, receive, send) -> None:
        """POST /predict, as ASGI calls it: the layers of FastAPI would take several times as long."""
        try:
            response = await self.classes_of(scope, receive)
        except Exception:  # nothing that a request holds may end a connection without an answer
            LOG.exception("a request failed")
            response = self.problem(500, "the server failed at this request: see its log.")
        await response(scope, receive, send)

    async def classes_of(self, scope, receive) -> Response:
        """The classes of the rows in a request, or what is wrong with it."""
        start = time.perf_counter()
        if self.is_draining:
            return self.problem(503, "the server is being stopped: send the request again to another one.", {"retry-after": "1"})
        num_features, most_rows = self.classifier.num_features, self.settings.most_rows
        try:
            body = await self.body(scope, receive)
            if len(body) > LARGE_BODY_BYTES:
                rows = await asyncio.to_thread(parse_request, body, num_features, most_rows)
            else:
                rows = parse_request(body, num_features, most_rows)
            async with asyncio.timeout(self.settings.timeout_s):
                found = await self.batcher.submit(rows)
            response = self.answer(200, self.classifier.response(*found))
        except RequestError as error:
            return self.problem(error.status, error.sentence, CLOSE if error.status in (408, 413) else None)
        except QueueFull as error:
            wait_s = max(1, math.ceil(error.retry_after_s))
            return self.problem(429, f"{error} Wait {wait_s} s, for example.", {"retry-after": str(wait_s)})
        except Draining as error:
            return self.problem(503, str(error), {"retry-after": "1"})
        except PredictError as error:
            LOG.error("predict failed", exc_info=error.__cause__)
            return self.problem(500, str(error))
        except TimeoutError:
            return self.problem(
                504, f"there was no answer within {self.settings.timeout_s:g} s, the limit of this server: send fewer "
                "rows, or try again later.",
            )  # fmt: skip
        self.counters.observe(self.worker, "request_seconds", time.perf_counter() - start)
        return response

    async def body(self, scope, receive) -> bytes:
        """All of it; RequestError 413 if it is too large, 408 if too slow, 400 if the client went away."""
        most, headers = self.settings.max_body_bytes, dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            if b"expect" not in headers:  # else it asks before it sends
                await self.discard(receive)
            raise _too_large(f"{int(length)}", most)
        message = await receive()
        if not message.get("more_body"):
            return self.part(message)
        parts, num_bytes = [self.part(message)], len(message["body"])
        try:
            async with asyncio.timeout(self.settings.body_timeout_s):
                while message.get("more_body") and num_bytes <= most:
                    message = await receive()
                    parts.append(self.part(message))
                    num_bytes += len(parts[-1])
        except TimeoutError:
            raise RequestError(
                408, f"a request must have been sent within {self.settings.body_timeout_s:g} s, but only {num_bytes} bytes "
                "of this one came: send it faster.",
            ) from None  # fmt: skip
        if num_bytes > most:
            parts.clear()
            if message.get("more_body"):
                await self.discard(receive)
            raise _too_large(f"more than {most}", most)
        return b"".join(parts)

    def part(self, message: dict) -> bytes:
        """Of a body."""
        if message["type"] != "http.request":  # nobody reads the answer
            raise RequestError(400, "the connection ended before the request did: send all of it.")
        return message.get("body", b"")

    async def discard(self, receive) -> None:
        """Read on for a while, and keep nothing: a client that is still sending would never see the answer."""
        num_bytes = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.body_timeout_s):
                while num_bytes < DISCARDED_BYTES:
                    message = await receive()
                    num_bytes += len(message.get("body", b""))
                    if not message.get("more_body"):
                        return

    def health(self) -> Response:
        """200, or 503 while it is being stopped or its model hangs."""
        model = self.classifier.checksum[:SHOWN_DIGITS]
        status = "draining" if self.is_draining else "stuck" if self.is_stuck else "ok"
        reply = {"status": status, "model": model, "worker": self.worker, "pid": os.getpid()}
        headers = CLOSE if self.is_draining else None
        return Response(json.dumps(reply), 200 if status == "ok" else 503, headers, "application/json")

    def metrics(self) -> Response:
        """Of all workers, in the text format of Prometheus."""
        self.counters.set(self.worker, "queue_rows", self.batcher.num_waiting)
        return Response(self.counters.text(), media_type="text/plain; version=0.0.4")

    def model(self) -> Response:
        """What is served."""
        c = self.classifier
        return Response(
            json.dumps({
                "model": c.checksum[:SHOWN_DIGITS], "num_features": c.num_features, "class_names": c.class_names,
                "max_rows": self.settings.most_rows, "about": c.about,
            }),
            media_type="application/json",
        )  # fmt: skip


class App(FastAPI):
    """FastAPI, with a shorter way for the requests that come by the thousand."""

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict" and scope["method"] == "POST":
            await self.state.serving.predict(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def make_app(package, settings: ServerSettings | None = None, *, counters: Counters | None = None, worker: int = 0) -> FastAPI:
    """The application that serves a package.

    Parameters
    ----------
    package : path, PackageInfo or Classifier
    settings : ServerSettings, optional
    counters : Counters, optional
        Shared with other workers.
    worker : int
        Its number among them.

    Returns
    -------
    FastAPI
        Run it with any ASGI server; ``app.state.serving`` is its :class:`State`.
    """
    settings = settings or ServerSettings()
    classifier = package if hasattr(package, "predict") else load_package(package)
    state = State(classifier, settings, counters or Counters(1, settings.max_batch), worker)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        state.is_draining = True
        await state.batcher.close()

    app = App(title="labkit classifier", version=classifier.checksum[:SHOWN_DIGITS], lifespan=lifespan)
    app.state.serving = state

    @app.post("/predict", openapi_extra={"requestBody": BODY})
    async def predict():
        """The classes of rows, and the probabilities of all classes."""  # for /docs: App takes these requests

    @app.get("/health")
    async def health():
        return state.health()

    @app.get("/metrics")
    async def metrics():
        return state.metrics()

    @app.get("/model")
    async def model():
        return state.model()

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException):
        sentence = f"there is no {request.method} {request.url.path} ({error.detail}): send POST /predict."
        return state.problem(error.status_code, sentence, dict(error.headers or {}))

    return app


def _too_large(what: str, most: int) -> RequestError:
    return RequestError(413, f"a request has at most {most} bytes, but this one has {what}: send fewer rows at a time.")
