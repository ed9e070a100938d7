"""Limits of time, memory, concurrency and life; starts that fail."""

import os
import signal

import pytest


def test_a_call_that_takes_too_long_is_killed_with_its_children(tools, folder, tmp_path):
    with tools.start(folder, timeout_s=1.5) as function:
        function.invoke({})
        pids = tmp_path / "pids"
        late = function.invoke(
            {"do": f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{spawn(0)}}'); time.sleep(600)"}
        )
        assert (late.status_code, late.function_error, late.record.outcome) == (200, "Unhandled", "timeout")
        message = f"RequestId: {late.record.request_id} Error: Task timed out after 1.50 seconds"
        assert late.payload == {"errorType": "Sandbox.Timedout", "errorMessage": message}
        assert late.record.duration_ms >= 1500
        tools.gone(*map(int, pids.read_text().split()))
        assert any(
            line.endswith(f"{late.record.request_id} Task timed out after 1.50 seconds") for line in function.logs(1)
        )
        again = function.invoke({"do": "result = context.get_remaining_time_in_millis()"})
        assert again.record.is_cold and 0 < again.payload <= 1501


def test_memory_is_limited_with_that_of_children(tools, folder):
    hold = "x = bytearray(b'1') * (300 << 20); time.sleep(600)"
    child = f"import time; {hold}"
    with tools.start(folder, memory_mb=256) as function:
        enough = function.invoke({"do": "x = bytearray(b'1') * (100 << 20); result = len(x)"})
        assert enough.payload == 100 << 20 and 100 < enough.record.max_memory_mb < 256
        for do in (hold, f"subprocess.run([sys.executable, '-S', '-c', {child!r}])"):
            killed = function.invoke({"do": do})
            assert (killed.function_error, killed.record.outcome) == ("Unhandled", "out of memory"), killed
            assert killed.payload["errorType"] == "Runtime.OutOfMemory"
            assert killed.payload["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
            assert killed.record.max_memory_mb > 256
        # what no process of the handler can get, at once, behind the limit that is watched
        huge = function.invoke({"do": "bytearray(64 << 30)"})
        assert (huge.record.outcome, huge.payload["errorType"]) == ("error", "MemoryError")


def test_one_environment_for_each_request_at_a_time_and_the_last_used_first(tools, folder, tmp_path):
    with tools.start(folder) as function:
        calls = [tools.busy_call(function, tmp_path, number=number) for number in range(4)]
        with tools.Together(*(lambda event=event: function.invoke(event) for event, _, _ in calls)) as together:
            assert len({pid() for _, pid, _ in calls}) == 4
            order = [2, 0, 3, 1]
            for count, number in enumerate(order, 1):
                calls[number][2]()
                tools.wait_until(lambda count=count: len(function.records) == count, "the end of a call")
        assert [answer.payload["event"]["number"] for answer in together.results] == [0, 1, 2, 3]
        pids = [answer.payload["pid"] for answer in together.results]
        assert len(set(pids)) == 4 and all(answer.record.is_cold for answer in together.results)
        assert [function.invoke({}).payload["pid"] for _ in range(3)] == [pids[1]] * 3  # the one that ended last
        # two at a time: that one and the one before
        calls = [tools.busy_call(function, tmp_path) for _ in range(2)]
        with tools.Together(*(lambda event=event: function.invoke(event) for event, _, _ in calls)):
            assert {pid() for _, pid, _ in calls} == {pids[1], pids[3]}
            for _, _, end in calls:
                end()
        assert len(function.environments) == 4
        for number in range(1, 5):  # one request at a time
            records = sorted((r for r in function.records if r.environment == number), key=lambda r: r.started_s)
            assert all(a.ended_s <= b.started_s for a, b in zip(records, records[1:], strict=False))


def test_a_burst_starts_a_few_environments_at_a_time(tools, folder):
    from labkit.serving.serverless.service import MAX_STARTING

    num = 3 * MAX_STARTING
    with tools.start(folder) as function:
        event = {"do": "time.sleep(0.3); result = os.getpid()"}
        with tools.Together(*[lambda: function.invoke(event)] * num) as together:
            pass
        infos = function.environments
    assert all(answer.record.outcome == "ok" for answer in together.results)
    starts = [(i.started_s, i.started_s + sum(i.phases_s[p] for p in ("process", "imports", "model"))) for i in infos]
    at_a_time = [sum(start <= moment < ready - 0.002 for start, ready in starts) for moment, _ in starts]
    assert 1 < max(at_a_time) <= MAX_STARTING < len(infos)


def test_one_call_after_the_other_needs_one_environment(tools, folder):
    with tools.start(folder) as function:
        assert [function.invoke({}).payload["calls"] for _ in range(300)] == list(range(1, 301))
        assert len(function.environments) == 1


def test_an_idle_environment_ends(tools, folder):
    with tools.start(folder, keep_alive_s=0.3) as function:
        pid, child = function.invoke({"do": "result = [os.getpid(), spawn(0)]"}).payload
        tools.wait_until(lambda: function.environments[0].state == "ended", "the end of keep-alive")
        tools.gone(pid, child)
        info = function.environments[0]
        assert info.why_ended == "keep-alive" and info.ended_s - function.records[0].ended_s >= 0.299
        assert function.invoke({}).record.is_cold


def test_reserved_concurrency_refuses_more(tools, folder, tmp_path):
    with tools.start(folder, reserved_concurrency=2) as function:
        calls = [tools.busy_call(function, tmp_path) for _ in range(2)]
        with tools.Together(*(lambda event=event: function.invoke(event) for event, _, _ in calls)) as together:
            for _, pid, _ in calls:
                pid()
            refused = function.invoke({})
            assert (refused.status_code, refused.function_error, refused.record.outcome) == (429, None, "throttled")
            assert refused.payload["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
            assert (refused.record.environment, refused.record.num_attempts, refused.record.billed_ms) == (None, 0, 0)
            status, headers, content = tools.post(function.url, b"{}")
            assert (status, headers["retry-after"]) == (429, "1") and b"all 2 environments" in content
            for _, _, end in calls:
                end()
        assert [answer.record.outcome for answer in together.results] == ["ok", "ok"]
        assert function.invoke({}).record.outcome == "ok"
        assert len(function.environments) == 2
    with tools.start(folder, reserved_concurrency=0) as function:
        assert function.invoke({}).status_code == 429 and not function.environments


def test_provisioned_environments_are_started_ahead_and_replaced(tools, folder, tmp_path):
    with tools.start(folder, provisioned_concurrency=2, keep_alive_s=0) as function:
        infos = function.environments
        assert [(info.state, info.is_provisioned, info.num_calls) for info in infos] == [("idle", True, 0)] * 2
        assert infos[0].phases_s["model"] >= 0.05 and "first_call" not in infos[0].phases_s
        calls = [tools.busy_call(function, tmp_path) for _ in range(3)]
        with tools.Together(*(lambda event=event: function.invoke(event) for event, _, _ in calls)) as together:
            for _, pid, _ in calls:
                pid()
            for _, _, end in calls:
                end()
        records = [answer.record for answer in together.results]
        assert sorted(record.is_cold for record in records) == [
            False,
            False,
            True,
        ]  # the third one is more than provisioned
        assert all(record.phases_s == {} and record.init_ms == 0 for record in records if not record.is_cold)
        kind = function.invoke({"do": "result = os.environ['AWS_LAMBDA_INITIALIZATION_TYPE']"})
        assert kind.payload == "provisioned-concurrency" and kind.record.environment in (1, 2)
        os.kill(infos[0].pid, signal.SIGKILL)

        def states():
            return [(i.number, i.state) for i in function.environments if i.is_provisioned and i.state != "ended"]

        tools.wait_until(
            lambda: [state for _, state in states()] == ["idle", "idle"] and states()[0][0] == 2, "a replacement"
        )


BAD = {
    "syntax": (
        "def handler(event, context:\n    pass",
        "Runtime.UserCodeSyntaxError",
        "Syntax error in module 'lambda_function'",
    ),
    "name": (
        "def other(event, context): pass",
        "Runtime.HandlerNotFound",
        "Handler 'handler' missing on module 'lambda_function'",
    ),
    "import": ("import no_such_module", "Runtime.ImportModuleError", "No module named 'no_such_module'"),
    "raises": ("raise ValueError('no model')", "ValueError", "no model"),
    "exits": ("import os; os._exit(5)", "Runtime.ExitError", "Runtime exited with error: exit status 5"),
    "missing": (None, "Runtime.ImportModuleError", "No module named 'lambda_function'"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_start_that_fails(tools, tmp_path, what):
    text, kind, message = BAD[what]
    folder = tools.write_function(tmp_path / "bad", text or "")
    if text is None:
        (folder / "lambda_function.py").unlink()
    with tools.start(folder) as function:
        for _ in range(2):  # every call tries anew
            failed = function.invoke({})
            assert (failed.status_code, failed.function_error) == (200, "Unhandled")
            assert failed.payload["errorType"] == kind and message in failed.payload["errorMessage"]
            assert failed.record.outcome == ("exit" if what == "exits" else "init error") and failed.record.is_cold
        status, _, content = tools.post(function.url, b"{}")
        assert status == 502 and message.encode() in content.replace(b'\\"', b'"')
        # mended, it works without another start of the service
        (folder / "lambda_function.py").write_text("def handler(event, context): return 'mended'")
        assert function.invoke({}).payload == "mended"


def test_a_start_that_takes_too_long(tools, tmp_path):
    folder = tools.write_function(tmp_path / "slow", "import time; time.sleep(600)")
    with tools.start(folder, init_timeout_s=0.5) as function:
        late = function.invoke({})
        assert late.record.outcome == "init timeout" and late.payload["errorType"] == "Sandbox.Timedout"
        assert late.payload["errorMessage"].endswith("Init timed out after 0.50 seconds")
        assert tools.post(function.url, b"{}")[0] == 504
        tools.gone(*(info.pid for info in function.environments))


def test_a_provisioned_start_that_fails_ends_the_waiting(tools, tmp_path):
    folder = tools.write_function(tmp_path / "bad", "raise ValueError('no model')")
    with tools.start(folder, provisioned_concurrency=1) as function:
        assert function.environments[0].why_ended == "init error"
        assert function.invoke({}).payload["errorMessage"] == "no model"
