"""The classifier as a serverless function: the same file here and on AWS Lambda.

The package is read once, when an environment starts and this file is imported: every later call finds it in memory. It is
the file named by MODEL_PACKAGE, or the only ``*.labkit-model`` beside this file.

An event is a request over HTTP (a function URL, or API Gateway's payload format 2.0), or plainly ``{"rows": [[...]]}``.
"""

import time

STARTED_NS = time.perf_counter_ns()

import base64  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
from pathlib import Path  # noqa: E402

try:
    import classifier as rules  # copied beside this file
except ModuleNotFoundError:
    from labkit.serving.package import classifier as rules

IMPORTED_NS = time.perf_counter_ns()


def find_package() -> Path:
    """The file of the model."""
    named = os.environ.get("MODEL_PACKAGE")
    if named:
        return Path(__file__).parent / named  # an absolute path stays what it is
    found = sorted(Path(__file__).parent.glob("*.labkit-model"))
    if len(found) != 1:
        raise rules.PackageError(
            f"one *.labkit-model belongs beside {Path(__file__).name}, but there are {len(found)}: put one there, or set "
            "MODEL_PACKAGE to the path of one."
        )
    return found[0]


MODEL = rules.load_package(find_package())
LOADED_NS = time.perf_counter_ns()
PHASES_S = {"imports": (IMPORTED_NS - STARTED_NS) / 1e9, "model": (LOADED_NS - IMPORTED_NS) / 1e9}  # of a cold start


def handler(event, context):
    """Answer one event.

    Returns
    -------
    dict
        To a request over HTTP ``{"statusCode": ..., "headers": ..., "body": ...}``; to a plain event the answer itself,
        ``{"error": ..., "status": ...}`` if it is none.
    """
    if not isinstance(event, dict) or "requestContext" not in event:
        status, reply = answer_rows(event)
        return reply if status == 200 else {**reply, "status": status}
    headers = {"content-type": "application/json"}
    method = event["requestContext"].get("http", {}).get("method", "POST")
    if method != "POST":
        status, reply = 405, {"error": f"this function answers POST, not {method}: send {{\"rows\": [[...], ...]}} with POST."}
        headers["allow"] = "POST"
    else:
        try:
            status, reply = rules.answer(MODEL, body_of(event))
        except rules.RequestError as error:
            status, reply = error.status, {"error": error.sentence}
    return {"statusCode": status, "headers": headers, "body": json.dumps(reply)}


def body_of(event: dict) -> bytes | str:
    """The body of a request over HTTP."""
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        raise rules.RequestError(400, "the body is no base64, though isBase64Encoded says so: send it as it is.") from None


def answer_rows(event) -> tuple[int, dict]:
    """The answer to a plain event."""
    try:
        rows = rules.parse_rows(event, MODEL.num_features)
        return 200, MODEL.response(*MODEL.predict(rows))
    except rules.RequestError as error:
        return error.status, {"error": error.sentence}
