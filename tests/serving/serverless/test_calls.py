"""Calls: answers, errors, records, logs."""

import json
import os
import re
import signal
import time

import pytest

from labkit.errors import LabkitError, UsageError
from labkit.serving.serverless.settings import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES


def test_a_cold_call_then_warm_ones(tools, folder):
    with tools.start(folder) as function:
        answers = [function.invoke({"number": number}) for number in range(3)]
        assert [answer.payload["event"] for answer in answers] == [{"number": number} for number in range(3)]
        assert [answer.payload["calls"] for answer in answers] == [1, 2, 3]  # the same process
        assert [answer.payload["id"] for answer in answers] == [answer.record.request_id for answer in answers]
        assert [answer.record for answer in answers] == function.records
        (environment,) = function.environments
        assert (
            environment.pid == answers[0].payload["pid"] and environment.num_calls == 3 and environment.state == "idle"
        )
    cold, *warm = (answer.record for answer in answers)
    assert cold.is_cold and not any(record.is_cold for record in warm)
    assert {(record.outcome, record.num_attempts, record.environment) for record in function.records} == {("ok", 1, 1)}
    for record in function.records:
        assert record.arrived_s <= record.started_s < record.ended_s
        assert record.duration_ms == pytest.approx((record.ended_s - record.started_s) * 1e3, abs=0.01)
        billed = record.duration_ms + record.init_ms
        assert billed <= record.billed_ms < billed + 1.001
        assert 5 < record.max_memory_mb < 256
    assert all(record.phases_s == {} and record.init_ms == 0 for record in warm)
    assert list(cold.phases_s) == ["process", "imports", "model", "first_call"]
    assert all(seconds > 0 for seconds in cold.phases_s.values())
    assert cold.phases_s["model"] >= 0.05  # as long as it sleeps
    assert sum(cold.phases_s.values()) == pytest.approx(cold.ended_s - environment.started_s, abs=0.005)
    assert cold.init_ms == pytest.approx(
        1e3 * sum(cold.phases_s[name] for name in ("process", "imports", "model")), abs=0.01
    )


def test_a_model_loaded_in_the_first_call_is_model_too(tools, tmp_path):
    handler = "import classifier\ndef handler(event, context):\n    classifier.load_package(0.05)\n    return event"
    with tools.start(tools.write_function(tmp_path / "late", handler)) as function:
        record = function.invoke(1).record
        assert record.phases_s["model"] >= 0.05
        assert record.duration_ms >= 50 and record.phases_s["first_call"] < record.duration_ms / 1e3 - 0.049
        assert function.invoke(2).record.phases_s == {}
        assert function.environments[0].phases_s == record.phases_s  # later loads are not of the start


def test_variables_and_context_are_those_of_aws(function, folder):
    asked = function.invoke(
        {
            "do": """
result = {"variables": dict(os.environ), "path": sys.path[0], "folder": os.getcwd(), "argv": sys.argv[1:], "context": {
    "name": context.function_name, "memory": context.memory_limit_in_mb, "arn": context.invoked_function_arn,
    "group": context.log_group_name, "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis()}}
"""
        }
    ).payload
    variables, context = asked["variables"], asked["context"]
    assert variables["COLOUR"] == "blue"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", variables["AWS_LAMBDA_RUNTIME_API"])
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == context["name"] == "test"
    assert variables["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == context["memory"] == "256"
    assert variables["AWS_LAMBDA_LOG_GROUP_NAME"] == context["group"] == "/aws/lambda/test"
    assert variables["AWS_LAMBDA_LOG_STREAM_NAME"] == context["stream"] == function.environments[0].log_stream
    assert variables["LAMBDA_TASK_ROOT"] == asked["path"] == asked["folder"] == str(folder)
    assert variables["_HANDLER"] == asked["argv"][0] == "lambda_function.handler"
    assert variables["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", variables["_X_AMZN_TRACE_ID"])
    assert "HOME" not in variables and "PYTHONPATH" not in variables  # nothing of whoever started it
    assert context["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:test"
    assert 50_000 < context["left"] <= 60_001


@pytest.mark.parametrize(
    "event", [None, True, 0, -1.5e300, "text \u00e9 \U0001f600", [], {}, {"a": [{"b": None}]}, "x" * 100_000]
)
def test_events_arrive_as_they_are(function, event):
    assert function.invoke(event).payload["event"] == event


def test_what_a_handler_may_return(function):
    assert function.invoke({"do": "result = None"}).payload is None
    assert function.invoke({"do": "result = b'\\xff\\x00'"}).payload == b"\xff\x00"
    unsaid = function.invoke({"do": "result = {1, 2}"})
    assert (unsaid.status_code, unsaid.function_error, unsaid.record.outcome) == (200, "Unhandled", "error")
    assert unsaid.payload["errorType"] == "Runtime.MarshalError"
    assert "Unable to marshal response" in unsaid.payload["errorMessage"]


def test_an_exception_is_an_answer_and_the_environment_goes_on(function):
    before = function.invoke({}).payload
    failed = function.invoke({"do": "raise LookupError('nothing here')"})
    assert (failed.status_code, failed.function_error, failed.record.outcome) == (200, "Unhandled", "error")
    assert failed.payload["errorType"] == "LookupError" and failed.payload["errorMessage"] == "nothing here"
    assert failed.payload["requestId"] == failed.record.request_id
    assert any("in handler" in line for line in failed.payload["stackTrace"])
    after = function.invoke({}).payload
    assert (after["pid"], after["calls"]) == (before["pid"], before["calls"] + 2)


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("os._exit(7)", "with error: exit status 7"),
        ("sys.exit(0)", "without providing a reason"),
        ("import signal; os.kill(os.getpid(), signal.SIGSEGV)", "with error: signal: segmentation fault"),
    ],
)
def test_a_process_that_ends_itself(tools, function, do, reason):
    died = function.invoke({"do": do})
    assert (died.status_code, died.function_error, died.record.outcome) == (200, "Unhandled", "exit")
    assert died.record.num_attempts == 1  # its own doing is not tried again
    message = f"RequestId: {died.record.request_id} Error: Runtime exited {reason}"
    assert died.payload == {"errorType": "Runtime.ExitError", "errorMessage": message}
    assert function.invoke({}).record.is_cold
    tools.wait_until(lambda: function.environments[died.record.environment - 1].state == "ended", "its end")


def test_sizes(tools, function):
    largest = function.invoke({"x": "y" * (MAX_REQUEST_BYTES - len('{"x": ""}'))})
    assert largest.status_code == 200 and len(largest.body) > MAX_REQUEST_BYTES
    larger = function.invoke({"x": "y" * (MAX_REQUEST_BYTES - len('{"x": ""}') + 1)})
    assert larger.status_code == 413 and larger.record is None
    assert larger.payload["errorType"] == "RequestTooLargeException"
    assert f"{MAX_REQUEST_BYTES + 1} byte" in larger.payload["errorMessage"]
    assert function.invoke({"do": f"result = b'x' * {MAX_RESPONSE_BYTES}"}).body == b"x" * MAX_RESPONSE_BYTES
    too_large = function.invoke({"do": f"result = b'x' * {MAX_RESPONSE_BYTES + 1}"})
    assert (too_large.status_code, too_large.function_error) == (200, "Unhandled")
    assert too_large.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert f"({MAX_RESPONSE_BYTES + 1} bytes) exceeded" in too_large.payload["errorMessage"]
    assert function.invoke({}).record.outcome == "ok"


def test_the_invoke_api_refuses_what_aws_refuses(tools, function):
    def at(path, body=b"{}", **headers):
        status, _, content = tools.post(
            function.endpoint_url, body, {k.replace("_", "-"): v for k, v in headers.items()}, path=path
        )
        return status, json.loads(content)["errorType"] if content else None

    invoke = "/2015-03-31/functions/test/invocations"
    num_records = len(function.records)
    assert at(invoke, b'{"a":') == (400, "InvalidRequestContentException")
    assert at(invoke, b"\xff\xfe\xfd") == (400, "InvalidRequestContentException")
    assert at(invoke, b"[" * 100_000) == (400, "InvalidRequestContentException")
    assert at(invoke.replace("test", "other")) == (404, "ResourceNotFoundException")
    assert at(invoke, X_Amz_Invocation_Type="Event") == (400, "InvalidParameterValueException")
    assert at(invoke, X_Amz_Invocation_Type="DryRun") == (204, None)
    assert at("/nowhere") == (404, "ResourceNotFoundException")
    assert len(function.records) == num_records


def test_logs_have_the_lines_of_lambda(tools, tmp_path, folder):
    with tools.start(folder) as function:
        record = function.invoke(
            {"do": "print('hello'); print('two\\nlines', file=sys.stderr); print('no end', end='')"}
        ).record
        failed = function.invoke({"do": "raise ValueError('bad')"}).record
    text = "\n".join(function.logs(1))  # also after the end
    start, end = f"START RequestId: {record.request_id} Version: $LATEST\n", f"\nEND RequestId: {record.request_id}\n"
    assert text.startswith("INIT_START Runtime Version: AWS_Lambda_python3.")
    assert text.index("imported") < text.index(start) < text.index("hello\ntwo\nlines") < text.index(end)
    report = next(line for line in function.logs() if line.startswith(f"REPORT RequestId: {record.request_id}"))
    assert re.fullmatch(
        rf"REPORT RequestId: {record.request_id}\tDuration: {record.duration_ms:.2f} ms\t"
        rf"Billed Duration: {record.billed_ms} ms\t"
        rf"Memory Size: 512 MB\tMax Memory Used: \d+ MB\tInit Duration: {record.init_ms:.2f} ms\t",
        report,
    )
    assert "no end" in text and "[ERROR] ValueError: bad\nTraceback" in text
    assert "Init Duration" not in next(
        line for line in function.logs() if line.startswith(f"REPORT RequestId: {failed.request_id}")
    )
    assert function.logs(2) == []


def test_after_the_end_and_before_the_start(tools, folder):
    function = tools.start(folder)
    with pytest.raises(UsageError, match="not running"):
        function.invoke({})
    function.start()
    pid = function.invoke({}).payload["pid"]
    function.stop()
    function.stop()
    assert not tools.is_running(pid)
    assert len(function.records) == 1 and function.environments[0].pid == pid and function.logs()
    for use in (lambda: function.invoke({}), lambda: function.url, function.start):
        with pytest.raises(UsageError):
            use()


def test_a_port_that_is_taken(tools, folder):
    from labkit.serving.serverless import LocalLambda

    with tools.start(folder) as function:
        port = int(function.url.rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=f"port {port}"):
            LocalLambda(function.settings, port=port).start()


def test_a_service_that_was_killed_says_so(tools, folder):
    with tools.start(folder) as function:
        pid = function.invoke({"do": "result = [os.getppid(), spawn(0), os.getpid()]"}).payload
        os.kill(pid[0], signal.SIGKILL)
        with pytest.raises(LabkitError, match="service"):
            function.invoke({})
        tools.gone(*pid)


def test_times_are_seconds_since_the_epoch(function):
    before = time.time()
    record = function.invoke({}).record
    assert before - 0.1 < record.arrived_s < record.ended_s < time.time() + 0.1
