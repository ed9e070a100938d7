"""Starting JupyterLab: ports, settings, the command line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from labkit import cli
from labkit.errors import NotAvailableError, UsageError
from labkit.lab import find_port, lab_command, lab_environment

ROOT = Path(__file__).parents[2]


def occupied():
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    return taken


def test_a_busy_port_moves_to_the_next():
    with occupied() as taken:
        port = taken.getsockname()[1]
        assert find_port(port) > port
    assert find_port(port) == port


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_impossible_ports(port):
    with pytest.raises(UsageError, match="1 to 65535"):
        find_port(port)


def test_all_ports_busy(monkeypatch):
    monkeypatch.setattr("labkit.lab.PORTS_TO_TRY", 1)
    with occupied() as taken, pytest.raises(NotAvailableError, match="PORT="):
        find_port(taken.getsockname()[1])


def test_command_and_environment():
    command = lab_command(ROOT, 9999, browser=False)
    assert "--ServerApp.open_browser=False" in command and "--ServerApp.port=9999" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    environment = lab_environment("secret")
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["JUPYTER_TOKEN"] == "secret"  # not on the command line: all users can read that


@pytest.mark.timeout(120)
def test_lab_starts_prints_its_address_and_asks_for_nothing(tmp_path):
    (tmp_path / ".jupyter").mkdir()  # a user with settings of their own
    (tmp_path / ".jupyter" / "jupyter_server_config.json").write_text('{"ServerApp": {"base_url": "/mine/"}}')
    other = tmp_path / ".local/share/jupyter/kernels/python3"
    other.mkdir(parents=True)
    (other / "kernel.json").write_text('{"argv": ["/usr/bin/other"], "display_name": "Other", "language": "python"}')
    with occupied() as taken:
        busy = taken.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit", "lab", "--port", str(busy), "--browser", "no"], cwd=ROOT,
            stdout=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"HOME": str(tmp_path)},
        )
        try:
            printed = ""
            while "Ctrl-C ends it" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            address, lesson, token = re.search(r"(http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\S+)", printed).groups()
            assert lesson == "notebooks/00_start_here.ipynb"
            assert f"Port {busy} is in use" in printed and f":{busy}/" not in address

            def get(path):
                deadline = time.monotonic() + 60
                while True:
                    try:
                        with urllib.request.urlopen(f"{address}{path}{'&' if '?' in path else '?'}token={token}") as answer:
                            return answer.read().decode()
                    except OSError:
                        assert time.monotonic() < deadline
                        time.sleep(0.3)

            page = get(f"/lab/tree/{lesson}")
            settings = json.loads(re.search(r'id="jupyter-config-data"[^>]*>\s*(\{.*?\})\s*</script>', page, re.S)[1])
            assert settings["news"] == {"disabled": True}
            notifications = json.loads(get("/lab/api/settings/@jupyterlab/apputils-extension:notification"))
            defaults = {k: v["default"] for k, v in notifications["schema"]["properties"].items() if "default" in v}
            assert (defaults["fetchNews"], defaults["checkForUpdates"]) == ("false", False)
            kernels = json.loads(get("/api/kernelspecs"))["kernelspecs"]
            assert kernels["python3"]["spec"]["display_name"] != "Other"
            assert token not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
            assert not (tmp_path / ".jupyter" / "lab").exists()  # nothing of the user's is written
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{address}/api/contents")  # without the token
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            process.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "labkit COMMAND"),
        ([], 2, "usage: labkit"),
        (["--version"], 0, "0.1.0"),
        (["dance"], 2, "no command 'dance'"),
        (["lab", "--port", "0"], 2, "1 to 65535"),
        (["bench", "nothing"], 2, "no topic 'nothing'"),
        (["bench", "--list"], 0, "mpi_cells"),
    ],
)
def test_command_line(capsys, arguments, code, words):
    assert cli.main(arguments) == code
    captured = capsys.readouterr()
    assert words in captured.out + captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("make_target", ["help", "lab", "test", "install", "clean"])
def test_make_has_its_targets(make_target):
    done = subprocess.run(["make", "-n", make_target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_make_without_a_python_is_one_sentence():
    done = subprocess.run(
        ["make", "-s", "install", "PYTHON=no-such-python"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr.startswith("There is no no-such-python here: install Python 3.11 or newer")
