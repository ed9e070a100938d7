"""The generator ends when it is told to, and when its owner is gone; and it tells of its own delays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from labkit.serving.load.arrivals import constant
from labkit.serving.load.generator import run_closed, run_load

sys.path.insert(0, str(Path(__file__).parent))
from load_fake_server import FakeServer, after, at_once  # noqa: E402

OWNER = """
import sys
from labkit.serving.load.arrivals import constant
from labkit.serving.load.generator import run_load
def tell(state):
    if state.num_ok > 5: print("running", flush=True)
result = run_load(sys.argv[1], constant(50, 600), b"{}", progress=tell)
print("ended", result.is_stopped, result.num_ok > 5, len(result) < result.num_planned == 30000, flush=True)
"""


def senders(process=None):
    """The generator's processes below a process."""
    return [c for c in psutil.Process(process).children(recursive=True) if "labkit.serving.load.sender" in c.cmdline()]


def wait_until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def owner():
    """A process in the middle of a run, and its generator's process."""
    root = str(Path(__file__).parents[3])
    with FakeServer(at_once) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, server.url], stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"PYTHONPATH": root},
        )
        try:
            assert process.stdout.readline() == "running\n"
            yield process, senders(process.pid)[0]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def is_over(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_interrupt_of_the_whole_group_gives_what_was_measured(owner):
    process, sender = owner
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal
    rest = process.communicate(timeout=60)[0].splitlines()
    assert rest[-1] == "ended True True True" and process.returncode == 0
    wait_until(lambda: is_over(sender), "the generator stays")


def test_it_does_not_outlive_a_killed_owner(owner):
    process, sender = owner
    process.kill()
    process.wait()
    wait_until(lambda: is_over(sender), "the generator stays")


def test_its_input_alone_ends_it():
    """As on systems without a signal for it."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit.serving.load.sender", str(os.getpid())], stdin=reading,
        stdout=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    os.close(reading)
    os.close(writing)
    assert process.wait(60) == 1
    late = subprocess.run(  # its owner ended before it began
        [sys.executable, "-m", "labkit.serving.load.sender", "1"], stdin=subprocess.PIPE, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert late.returncode == 0


def test_interrupt_in_this_process():
    states = []

    def press(state):
        states.append(state)
        if state.num_ok >= 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)  # the exception comes here

    with FakeServer(after(0.05)) as server:
        result = run_closed(server.url, 2, 600, b"{}", progress=press)
        assert result.is_stopped and result.num_ok >= 3 and "stopped before its end" in result.summary()
        assert result.num_ok + (result.outcome == 6).sum() == len(result)
        assert result.errors == {} and result.error_fraction == 0
    with FakeServer(after(600)) as server:  # stopped while all wait
        def press_when_sent(state):
            if state.num_started == 10:
                raise KeyboardInterrupt

        result = run_load(server.url, constant(1000, 0.01), b"{}", timeout_s=700, progress=press_when_sent)
    assert result.is_stopped and len(result) == result.num_planned == 10 and result.num_ok == 0
    assert not senders()


def test_it_says_that_it_was_late():
    """A generator that gets no time for half a second: requests go late, their latency says so, and so does it."""
    def hold(state):
        if not held and state.num_started >= 10:
            held.append(senders()[0])
            held[0].send_signal(signal.SIGSTOP)
            time.sleep(0.6)
            held[0].send_signal(signal.SIGCONT)

    held = []
    with FakeServer(at_once) as server:
        result = run_load(server.url, constant(100, 2), b"{}", progress=hold)
    assert len(result) == result.num_ok == 200 and held
    assert (result.lateness_s > 0.3).sum() >= 25 and result.lateness_s.max() > 0.5
    assert result.latency_s.max() > 0.5 and result.is_generator_limited and "late" in result.generator_limit
    assert "LIMITED THIS RUN" in result.summary()
