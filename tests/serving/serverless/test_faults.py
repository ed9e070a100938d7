"""Processes that are killed, stops in the middle, and what must not be left."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_a_killed_environment_costs_no_request(tools, folder, tmp_path):
    """Killed in mid-request: tried once more on another environment; killed again: said clearly."""
    with tools.start(folder) as function:
        first = tmp_path / "first"
        do = f"""
if not os.path.exists({str(first)!r}):
    open({str(first)!r}, 'w').write(str([os.getpid(), spawn(0)]))
    time.sleep(600)
"""
        with tools.Together(lambda: function.invoke({"do": do})) as together:
            tools.wait_until(lambda: first.exists() and first.read_text().endswith("]"), "the first attempt")
            pid, child = json.loads(first.read_text())
            os.kill(pid, signal.SIGKILL)
        answer = together.results[0]
        assert (answer.status_code, answer.function_error) == (200, None)
        assert (answer.record.outcome, answer.record.num_attempts, answer.record.environment) == ("ok", 2, 2)
        assert answer.payload["pid"] != pid
        tools.gone(pid, child)
        assert any(answer.record.request_id in line and "tried on another" in line for line in function.logs(1))

        # an environment that waits is killed: the next request does not notice
        os.kill(answer.payload["pid"], signal.SIGKILL)
        assert function.invoke({}).record.outcome == "ok"

        twice = function.invoke({"do": "os.kill(os.getpid(), 15); time.sleep(600)"})
        assert (twice.status_code, twice.function_error) == (200, "Unhandled")
        assert (twice.record.outcome, twice.record.num_attempts) == ("killed", 2)
        assert twice.payload["errorType"] == "Runtime.ExitError"


def test_what_a_handler_leaves_ends_with_its_environment(tools, folder):
    """Daemons that moved to sessions of their own and lost their parents, too."""
    daemon = """
if os.fork() == 0:
    os.setsid()
    grandchild = os.fork()
    if grandchild == 0:
        for fd in range(3, 64):
            try: os.close(fd)
            except OSError: pass
        os.execv(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(600)'])
    open(event['pids'], 'w').write(str(grandchild))
    os._exit(0)
os.wait()
result = [os.getpid(), int(open(event['pids']).read())]
"""
    with tools.start(folder) as function:
        pid, grandchild = function.invoke({"do": daemon, "pids": str(folder / "pids")}).payload
        assert tools.is_running(grandchild)
        other, kept = function.invoke({"do": "result = [os.getpid(), spawn(0)]"}).payload
        assert other == pid
        function.invoke({"do": "os._exit(1)"})
        tools.gone(pid, grandchild, kept)
        left = function.invoke({"do": "result = [os.getpid(), spawn(0)]"}).payload
    assert not any(map(tools.is_running, left))  # at once: stop() returns after their end


def test_stop_answers_what_was_accepted(tools, folder, tmp_path):
    function = tools.start(folder).start()
    calls = [tools.busy_call(function, tmp_path, number=number) for number in range(3)]
    with tools.Together(*(lambda event=event: function.invoke(event) for event, _, _ in calls)) as together:
        pids = [pid() for _, pid, _ in calls]
        with tools.Together(function.stop) as stopping:
            url = function.url
            tools.wait_until(lambda: tools.post(url, b"{}")[0] == 503, "refusal of more")
            status, headers, content = tools.post(url, b"{}")
            assert (status, headers["retry-after"]) == (503, "1") and "stopped" in json.loads(content)["error"]
            assert all(map(tools.is_running, pids)) and stopping.threads[0].is_alive()
            for _, _, end in calls:
                end()
    assert [answer.payload["event"]["number"] for answer in together.results] == [0, 1, 2]
    assert not any(map(tools.is_running, pids))
    records = {record.request_id: record for record in function.records}
    assert [records[answer.record.request_id].outcome for answer in together.results] == ["ok"] * 3


def test_stop_ends_all_though_another_process_holds_the_pipe(tools, folder):
    """As a worker does that the owner forked."""
    with tools.start(folder) as function:
        pid = function.invoke({}).payload["pid"]
        held = function._process.stdin.fileno()
        other = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], pass_fds=(held,))
        try:
            function.stop()
            assert function._process.returncode == 0  # not -9: it was not killed after a long wait
            assert not tools.is_running(pid)
        finally:
            other.kill()
            other.wait()


def test_stop_waits_no_longer_than_it_is_told(tools, folder, tmp_path):
    function = tools.start(folder).start()
    event, pid, _ = tools.busy_call(function, tmp_path, "spawn(0)")
    with tools.Together(lambda: function.invoke(event)) as together:
        number = pid()
        function.stop(timeout_s=0.2)
    assert not tools.is_running(number)
    assert isinstance(together.results[0], Exception) or together.results[0].function_error


def test_stop_ends_a_handler_that_never_returns_at_its_time_limit(tools, folder, tmp_path):
    function = tools.start(folder, timeout_s=1.0).start()
    event, pid, _ = tools.busy_call(function, tmp_path)
    with tools.Together(lambda: function.invoke(event)) as together:
        number = pid()
        function.stop()
    assert together.results[0].record.outcome == "timeout"
    assert not tools.is_running(number)


OWNER = """
import sys, threading, time
from labkit.serving.serverless import FunctionSettings, LocalLambda
function = LocalLambda(FunctionSettings(folder=sys.argv[1], timeout_s=600.0, init_timeout_s=60.0)).start()
pids = function.invoke({"do": "result = [os.getpid(), os.getppid(), spawn(0)]"}).payload
threading.Thread(target=function.invoke, args=({"do": "time.sleep(600)"},), daemon=True).start()
print(*pids, function._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("whom", ["owner", "service", "warden", "all three"])
def test_nobody_is_left_whoever_is_killed(tools, folder, whom):
    variables = dict(os.environ, PYTHONPATH=str(ROOT))
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, env=variables, text=True
    )
    try:
        environment, service, child, warden = map(int, owner.stdout.readline().split())
        # the child of a handler lives only as long as somebody is there to look after it
        known = [environment, service, warden] + ([] if whom == "all three" else [child])
        assert all(map(tools.is_running, known))
        chosen = {
            "owner": [owner.pid],
            "service": [service],
            "warden": [warden],
            "all three": [owner.pid, warden, service],
        }[whom]
        for pid in chosen:
            os.kill(pid, signal.SIGKILL)
        tools.gone(*known)
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
        if whom == "all three":
            os.kill(child, signal.SIGKILL)


def test_an_owner_that_just_ends(tools, folder):
    """Without stop(): an ordinary end, by an exception in a notebook or a script."""
    program = OWNER.replace("time.sleep(600)\n", "raise SystemExit\n")
    variables = dict(os.environ, PYTHONPATH=str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, env=variables, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    tools.gone(*map(int, done.stdout.split()))


def test_the_runtime_api_refuses_what_makes_no_sense(tools, folder):
    do = """
import urllib.request, urllib.error
def ask(path, method='POST', body=b'{}'):
    url = 'http://' + os.environ['AWS_LAMBDA_RUNTIME_API'] + path
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code, __import__('json').loads(error.read())['errorType']
base = '/2018-06-01/runtime/'
result = [ask(base + 'invocation/other/response'), ask(base + 'invocation/other/error'), ask(base + 'init/error'),
          ask('/nowhere'), ask(base + 'invocation/x/y'), ask(base + 'invocation/next', 'PUT')]
"""
    with tools.start(folder) as function:
        answer = function.invoke({"do": do})
        assert answer.payload == [
            [400, "InvalidRequestID"],
            [400, "InvalidRequestID"],
            [403, "InvalidStateTransition"],
            [404, "NotFound"],
            [404, "NotFound"],
            [405, "MethodNotAllowed"],
        ]
        # a handler that answers before it returns: the first answer counts, the second is refused and ends the client
        early = function.invoke(
            {
                "do": do.split("result")[0]
                + "ask(base + 'invocation/' + context.aws_request_id + '/response', body=b'7')"
            }
        )
        assert early.payload == 7 and early.record.outcome == "ok"
        assert function.invoke({}).record.outcome == "ok"


def test_output_without_end_holds_up_nothing(tools, folder):
    with tools.start(folder) as function:
        loud = function.invoke(
            {"do": "print('x' * 3_000_000); [print('line', k) for k in range(20_000)]\nresult = 'done'"}
        )
        assert loud.payload == "done"
        lines = function.logs(1)
        assert lines.count("line 19999") == 1 and max(map(len, lines)) <= 2 * 262_144
        assert (
            function.invoke(
                {"do": "print('\\udcff', file=sys.stderr) if 0 else os.write(2, b'\\xff\\n')\nresult = 1"}
            ).payload
            == 1
        )


def test_the_command_line(tools, folder):
    command = [
        sys.executable,
        "-m",
        "labkit.serving.serverless",
        str(folder),
        "--timeout-s",
        "60",
        "--environment",
        "COLOUR=red",
    ]
    variables = dict(os.environ, PYTHONPATH=str(ROOT))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables, text=True) as process:
        try:
            url = process.stdout.readline().split()[0]
            body = json.dumps({}).encode()
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                pid = json.loads(answer.read())["pid"]
            lines = iter(process.stdout.readline, "")
            assert next(line for line in lines if "REPORT" in line).startswith("[1] REPORT RequestId: ")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            process.kill()
    tools.gone(pid)
    for wrong in (["/nowhere"], [str(folder), "--environment", "X"], [str(folder), "--memory-mb", "64"]):
        done = subprocess.run([*command[:3], *wrong], capture_output=True, env=variables, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
